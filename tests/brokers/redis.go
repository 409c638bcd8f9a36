package brokers

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Redis starts a Redis server that keeps nothing on the disk. args are further
// options, for example "--requirepass", "secret".
func Redis(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, func(port, dir string) []string { return redisArgs(port, dir, args...) }, pong("PING\r\n"))
}

func redisArgs(port, dir string, args ...string) []string {
	return append([]string{"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no"}, args...)
}

// pong is ready when the server knows the command, also if it wants a password
// first.
func pong(command string) func(addr string) error {
	return func(addr string) error {
		got, err := Ask(addr, command, "\r\n")
		if err == nil && !strings.HasPrefix(got, "+PONG") && !strings.HasPrefix(got, "-NOAUTH") {
			err = fmt.Errorf("it said %q", got)
		}
		return err
	}
}

// RedisTLS starts a Redis server that speaks TLS only and wants a client
// certificate that ca has signed.
func RedisTLS(t testing.TB, cert, key, ca string) *Server {
	t.Helper()
	return start(t, func(port, dir string) []string {
		return append(redisArgs("0", dir), "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca)
	}, func(addr string) error {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return err
		}
		d := &net.Dialer{Timeout: time.Second}
		c, err := tls.DialWithDialer(d, "tcp", addr, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// RedisMaster is a server with a replica and sentinels that watch them under the
// name "mymaster".
type RedisMaster struct {
	Master, Replica *Server
	Sentinels       []*Server
}

// Addrs are those of the sentinels.
func (m *RedisMaster) Addrs() []string {
	var list []string
	for _, s := range m.Sentinels {
		list = append(list, s.Addr)
	}
	return list
}

// RedisSentinel starts a master, a replica and three sentinels that make the
// replica the master a second after the master has gone.
func RedisSentinel(t testing.TB) *RedisMaster {
	t.Helper()
	m := &RedisMaster{Master: Redis(t)}
	host, port, _ := net.SplitHostPort(m.Master.Addr)
	m.Replica = Redis(t, "--replicaof", host+" "+port)
	for range 3 {
		m.Sentinels = append(m.Sentinels, start(t, func(own, dir string) []string {
			file := dir + "/sentinel.conf"
			writeFile(t, file, fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor mymaster %s %s 2\n"+
				"sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n", own, dir, host, port))
			return []string{"redis-sentinel", file}
		}, pong("PING\r\n")))
	}
	poll(t, "the sentinels know the replica and each other", func() bool {
		for _, s := range m.Sentinels {
			got, _ := cli(s.Addr, "sentinel", "master", "mymaster")
			if !follows(got, "num-slaves", "1") || !follows(got, "num-other-sentinels", "2") {
				return false
			}
		}
		return true
	})
	return m
}

// RedisCluster starts a cluster of three masters.
func RedisCluster(t testing.TB) []*Server {
	t.Helper()
	var nodes []*Server
	create := []string{"redis-cli", "--cluster", "create"}
	for range 3 {
		n := Redis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		nodes = append(nodes, n)
		create = append(create, n.Addr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, create[0], append(create[1:], "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("cannot create the cluster: %v\n%s", err, out)
	}
	poll(t, "the cluster is up", func() bool {
		for _, n := range nodes {
			if got, _ := cli(n.Addr, "cluster", "info"); !strings.Contains(got, "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	return nodes
}

// RedisCLI runs one command on a server and returns what redis-cli prints.
func RedisCLI(t testing.TB, addr string, command ...string) string {
	t.Helper()
	out, err := cli(addr, command...)
	if err != nil {
		t.Fatalf("redis-cli %q: %v: %s", command, err, out)
	}
	return strings.TrimSuffix(out, "\n")
}

func cli(addr string, command ...string) (string, error) {
	host, port, _ := net.SplitHostPort(addr)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", host, "-p", port}, command...)...).CombinedOutput()
	return string(out), err
}

// follows tells whether a line of text is name and the next is value.
func follows(text, name, value string) bool {
	return strings.Contains("\n"+text, "\n"+name+"\n"+value+"\n")
}
