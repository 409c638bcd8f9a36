// Package redisconn reads how a Redis server, a cluster, or a server that sentinels
// watch is reached, and makes its client, for the services that keep something
// there.
package redisconn

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// New makes a client; the servers need not run yet. The error is about the files
// of TLS and begins with the key.
func New(c Config, log *slog.Logger) (redis.UniversalClient, error) {
	o := &redis.UniversalOptions{
		Addrs:    c.Addrs,
		DB:       c.DB,
		Username: c.Username, Password: c.Password,
		MasterName: c.MasterName, SentinelPassword: c.SentinelPassword,
		RouteByLatency: c.RouteByLatency, RouteRandomly: c.RouteRandomly, ReadOnly: c.ReadOnly,
		MaxRetries: c.MaxRetries, MinRetryBackoff: c.MinRetryBackoff, MaxRetryBackoff: c.MaxRetryBackoff,
		DialTimeout: c.DialTimeout, ReadTimeout: c.ReadTimeout, WriteTimeout: c.WriteTimeout,
		DialerRetries: 1, // the retries of the command are enough
		PoolSize:      c.PoolSize, MinIdleConns: c.MinIdleConns,
		ConnMaxLifetime: c.MaxConnAge, PoolTimeout: c.PoolTimeout, ConnMaxIdleTime: c.IdleTimeout,
		// What only new servers know is not said on each connection.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.TLS != nil {
		var err error
		if o.TLSConfig, err = c.TLS.client(); err != nil {
			return nil, err
		}
	}
	redis.SetLogger(records{log})
	return redis.NewUniversalClient(o), nil
}

// records are what the client says by itself, mostly of sentinels.
type records struct{ log *slog.Logger }

func (r records) Printf(ctx context.Context, format string, v ...any) {
	r.log.DebugContext(ctx, strings.TrimSpace(fmt.Sprintf(format, v...)))
}
