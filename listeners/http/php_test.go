package http

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// TestFormLikePHP compares the trees of random forms with PHP's parse_str,
// over names that both read the same way.
func TestFormLikePHP(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		t.Fatal("php is needed: ", err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	type pair struct{ Form, Tree string }
	var pairs []pair
	for len(pairs) < 600 {
		form := randomForm(rnd)
		tree, err := formJSON(form)
		if err != nil {
			continue // PHP lets the last structure win, RoadRunner refuses
		}
		pairs = append(pairs, pair{form, tree})
	}
	in, err := json.Marshal(pairs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(php, "-n", "-r", `
		foreach (json_decode(stream_get_contents(STDIN), true) as $p) {
			parse_str($p['Form'], $want);
			if (json_decode($p['Tree'], true) !== $want)
				echo $p['Form'], "\n  PHP ", json_encode($want), "\n  got ", $p['Tree'], "\n";
		}`)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%.3000s", err, out)
	}
}

func randomForm(rnd *rand.Rand) string {
	keys := []string{"a", "b", "x-1", "0", "7", "ä", ""}
	var b strings.Builder
	for i := range 1 + rnd.IntN(7) {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(keys[rnd.IntN(2)])
		for depth := rnd.IntN(4); depth > 0; depth-- {
			key := keys[rnd.IntN(len(keys))]
			if depth > 1 && key == "" {
				// RoadRunner's a[][] is not PHP's; a[][b] is.
				fmt.Fprintf(&b, "[][%s]", keys[rnd.IntN(2)])
				break
			}
			fmt.Fprintf(&b, "[%s]", key)
		}
		fmt.Fprintf(&b, "=v%d%%20+%%26", i)
	}
	return b.String()
}
