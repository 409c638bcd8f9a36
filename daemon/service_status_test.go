package daemon

import (
	"strings"
	"syscall"
	"testing"
)

const withStatus = plain + "status: {address: 'unix://status.sock'}\n"

// The balancer is told before the first socket closes, and the answer stays
// until the process ends.
func TestStatusPages(t *testing.T) {
	a := newSite(t, withStatus)
	a.serve()
	if code, body := a.page("status.sock", "/ready"); code != 200 || body != `[{"plugin_name":"http","error_message":"","status_code":200}]` {
		t.Errorf("%d %s", code, body)
	}
	if code, body := a.page("status.sock", "/state"); code != 200 || !strings.HasPrefix(body, `{"state":"ready",`) {
		t.Errorf("%d %s", code, body)
	}
	answer := a.async("/slow")
	a.await("slow")
	// The only worker is busy: alive, but not ready for more.
	if code, _ := a.page("status.sock", "/ready"); code != 503 {
		t.Errorf("ready while the only worker is busy: %d", code)
	}
	if code, _ := a.page("status.sock", "/health"); code != 200 {
		t.Errorf("health while the only worker is busy: %d", code)
	}
	a.signal(syscall.SIGTERM)
	await(t, "/ready tells the stop", func() bool {
		code, body := a.page("status.sock", "/ready")
		return code == 503 && body == "service is shutting down\n"
	})
	if code, body := a.page("status.sock", "/health"); code != 200 || body != "service is shutting down\n" {
		t.Errorf("%d %s", code, body)
	}
	a.write("go", "")
	if got := <-answer; got.err != nil {
		t.Error(got.err)
	}
	if code := a.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestStatusWithoutAddress(t *testing.T) {
	a := newSite(t, plain+"status: {}\n")
	a.start()
	if code := a.wait(); code != 1 || !a.output.has("status.address: the address is missing; write for example") {
		t.Errorf("exit status %d", code)
	}
}
