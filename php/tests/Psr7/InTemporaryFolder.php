<?php

declare(strict_types=1);

namespace RR\Tests\Psr7;

/** The integration tests write into the current folder and into sys_get_temp_dir(). */
trait InTemporaryFolder
{
    private static string $before;

    private static string $folder;

    public static function setUpBeforeClass(): void
    {
        self::$before = getcwd();
        self::$folder = sys_get_temp_dir() . '/rr-test-' . bin2hex(random_bytes(4));
        mkdir(self::$folder);
        chdir(self::$folder);
        parent::setUpBeforeClass();
    }

    public static function tearDownAfterClass(): void
    {
        chdir(self::$before);
        array_map('unlink', glob(self::$folder . '/.tmp/*'));
        @rmdir(self::$folder . '/.tmp');
        rmdir(self::$folder);
        foreach ([...glob(sys_get_temp_dir() . '/foo*.*'), ...glob(sys_get_temp_dir() . '/rr??????')] as $left) {
            if (is_file($left) && file_get_contents($left) === 'content') {
                unlink($left);
            }
        }
        @unlink(sys_get_temp_dir() . '/foo');
    }
}
