package config

import (
	"reflect"
	"testing"
)

func TestDiff(t *testing.T) {
	before := load(t, "http: {address: ':80', pool: {num_workers: 8, debug: true}}\nlist: [1, {a: true}]\ngone: {a: {b: 1}}\nempty: {}")
	for _, c := range []struct {
		name string
		text string
		over []string
		want []string
	}{
		{"same", "http: {pool: {debug: true, num_workers: 8}, address: ':80'}\nlist: [1, {a: true}]\ngone.a.b: 1\nempty: {}\nnothing:", nil, nil},
		{"weakly the same", "http: {address: ':80', pool: {num_workers: '8'}}\nlist: ['1', {a: 'true'}]\ngone.a.b: 1\nempty: {}", []string{"http.pool.debug=true"}, nil},
		{"different", "http: {address: ':81', pool: {num_workers: 8, new: 1}}\nlist: [{a: true}, 1]\nother: {}", nil,
			[]string{"empty", "gone.a.b", "http.address", "http.pool.debug", "http.pool.new", "list", "other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Diff(before, load(t, c.text, c.over...)); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDump(t *testing.T) {
	tree := load(t, `
kv: {r: {driver: redis, config: {password: geheim, addrs: ["redis://u:geheim@h:1", "h:2"]}}}
server: {env: {APP_KEY: geheim, DB_URL: "mysql://u:geheim@db/x", BAD: "amqp://u:ge%heim@x", PATH: /bin, EMPTY_TOKEN: ""}}
sqs: {key: geheim, region: eu}
http: {ssl: {key: k.pem}, empty: }
`, "otel.headers.authorization=geheim")
	got, err := tree.DumpYAML()
	if err != nil {
		t.Fatal(err)
	}
	want := `http:
    ssl:
        key: k.pem
kv:
    r:
        config:
            addrs:
                - redis://u:xxxxx@h:1
                - h:2
            password: '***'
        driver: redis
otel:
    headers:
        authorization: '***'
server:
    env:
        APP_KEY: '***'
        BAD: '***'
        DB_URL: mysql://u:xxxxx@db/x
        EMPTY_TOKEN: ""
        PATH: /bin
sqs:
    key: '***'
    region: eu
version: "3"
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if data, err := tree.DumpJSON(); err != nil || len(data) == 0 {
		t.Errorf("DumpJSON: %s, %v", data, err)
	}
}
