<?php

rename($_FILES['doc']['tmp_name'], getenv('TEST_DIR') . '/moved');
echo json_encode([$_POST['title'], $_FILES['doc']['name'], $_FILES['doc']['size'], sha1_file(getenv('TEST_DIR') . '/moved')]);
