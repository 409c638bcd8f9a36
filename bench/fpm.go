package main

import (
	"fmt"
	"path/filepath"
)

// fpm is nginx with one process and php-fpm with a fixed number of children; param is
// one more directive of nginx. fastcgi_keep_conn stays off: with few children, kept
// connections starve all clients but as many as there are children. Bodies stay in
// memory both ways.
func (s *site) fpm(v *variant, script, param string) (*server, error) {
	c, err := s.contender(v)
	if err != nil {
		return nil, err
	}
	c.peer = true
	nginx, fpm := filepath.Join(c.dir, "nginx.conf"), filepath.Join(c.dir, "fpm.conf")
	c.files["nginx.conf"] = fmt.Sprintf(`worker_processes 1;
daemon off;
user root;
pid %[1]s/nginx.pid;
error_log stderr emerg;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_max_body_size 64m;
	client_body_buffer_size 16m;
	client_body_temp_path %[1]s;
	fastcgi_temp_path %[1]s;
	proxy_temp_path %[1]s;
	uwsgi_temp_path %[1]s;
	scgi_temp_path %[1]s;
	fastcgi_buffers 170 64k;
	fastcgi_max_temp_file_size 0;
	server {
		listen %[2]s;
		location / {
			include /etc/nginx/fastcgi_params;
			fastcgi_param SCRIPT_FILENAME %[3]s;
			%[4]s
			fastcgi_pass unix:%[1]s/fpm.sock;
		}
	}
}
`, c.dir, c.address, script, param)
	c.files["fpm.conf"] = fmt.Sprintf(`[global]
error_log = /dev/stderr
log_level = error
daemonize = no
[www]
user = root
listen = %[1]s/fpm.sock
listen.backlog = 4096
pm = static
pm.max_children = %[2]d
php_admin_value[memory_limit] = 256M
php_admin_value[post_max_size] = 64M
`, c.dir, s.o.workers)
	c.commands = [][]string{
		{fpmBinary(), "-R", "-y", fpm, "-d", "opcache.enable=1", "-d", "opcache.validate_timestamps=0"},
		{"/usr/sbin/nginx", "-c", nginx},
	}
	return c, nil
}

// fpmBinary finds php-fpm, whose name carries the version in Debian.
func fpmBinary() string {
	found, _ := filepath.Glob("/usr/sbin/php-fpm*")
	if len(found) == 0 {
		return "php-fpm"
	}
	return found[len(found)-1]
}
