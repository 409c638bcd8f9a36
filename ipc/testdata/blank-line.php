

<?php
sleep(60);
