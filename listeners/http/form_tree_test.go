package http

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func formJSON(form string) (string, error) {
	var tr tree[string]
	tr.reset()
	if err := parseURLEncoded(&tr, form); err != nil {
		return "", err
	}
	return string(tr.appendJSON(nil, appendJSONString)), nil
}

func TestFormTree(t *testing.T) {
	for _, tt := range []struct{ form, want string }{
		// As RoadRunner.
		{"a=1&a=2", `{"a":"2"}`},
		{"a[]=1&a[]=2", `{"a":["1","2"]}`},
		{"a[b][]=1&a[b][]=2", `{"a":{"b":["1","2"]}}`},
		{"a[0]=x&a[10]=y&a[2]=z", `{"a":{"0":"x","10":"y","2":"z"}}`},
		{"a[][]=1", `{"a":{"":["1"]}}`},
		{"a", `{"a":""}`},
		{"a=", `{"a":""}`},
		{"a[]=", `{"a":[""]}`},
		{"=1", `{"":"1"}`},
		{"[]=1", `{"":["1"]}`},
		{"[a]=1", `{"":{"a":"1"}}`},
		{"a b=1", `{"ab":"1"}`},
		{"a.b=1", `{"a.b":"1"}`},
		{"a[b=1", `{"a":{"b":"1"}}`},
		{"a]b=1", `{"a":{"b":"1"}}`},
		{"a[[b]]=1", `{"a":{"b":"1"}}`},
		{"a[b]c=1", `{"a":{"b":{"c":"1"}}}`},
		{"a[b]c[d]=1", `{"a":{"b":{"c":{"d":"1"}}}}`},
		{"[=1", `{"":"1"}`},
		{"]=1", `{"":"1"}`},
		{"a=&a[b]=2", `{"a":{"b":"2"}}`},
		{"a[b]=2&a=", `{"a":{"b":"2"}}`},
		{"key[x]=1&key[]=", `{"key":{"x":"1"}}`},
		{"key[]=&key[x]=1", `{"key":{"x":"1"}}`},
		{"&&&", `{}`},
		{"a=1&", `{"a":"1"}`},
		{"a=b=c", `{"a":"b=c"}`},
		{"a=x%00y", `{"a":"x\u0000y"}`},
		{"a%5Bb%5D=1", `{"a":{"b":"1"}}`},
		{"a" + strings.Repeat("[x]", 127) + "=1", `{}`},
		// As PHP.
		{"a[][b]=1&a[][c]=2", `{"a":[{"b":"1"},{"c":"2"}]}`},
		{"a[][b]=1&a[][b]=2", `{"a":[{"b":"1"},{"b":"2"}]}`},
		{"a[]=1&a[][b]=2&a[]=3", `{"a":["1",{"b":"2"},"3"]}`},
		{"a[]=1&a=2", `{"a":"2"}`},
		{"a=2&a[]=1", `{"a":["1"]}`},
		{"b=1&a=2", `{"b":"1","a":"2"}`},
		{"a[b]=1&a[b]=", `{"a":{"b":""}}`},
		// Structures that give way leave nothing behind.
		{"a[x]=&a=1&a[x]=", `{"a":"1"}`},
		{"a[x][y]=&a[]=&a[x][z]=1", `{"a":{"x":{"z":"1"}}}`},
		// No byte of a value that is not UTF-8 is lost.
		{"a=%FF%FEx", `{"a":"ÿþx"}`},
		{"%FF=1", `{"ÿ":"1"}`},
	} {
		got, err := formJSON(tt.form)
		if err != nil || got != tt.want {
			t.Errorf("%s: %s %v, want %s", tt.form, got, err, tt.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: %s is no JSON", tt.form, got)
		}
	}
}

func TestFormErrors(t *testing.T) {
	for _, form := range []string{"a=1&a[b]=2", "a[b]=2&a=1", "a[]=1&a[b]=2", "a[b]=2&a[]=1", "a[b]=1&a[b][c]=2", "a[]=2&a[][]=1", "a=1&a[][b]=2"} {
		_, err := formJSON(form)
		if conflict := (*conflictError)(nil); !errors.As(err, &conflict) {
			t.Errorf("%s: %v", form, err)
		}
	}
	for _, form := range []string{"a=1;b=2", "a=%zz", "%", "a=%4", strings.Repeat("a&", maxFormParams+1)} {
		if got, err := formJSON(form); err == nil {
			t.Errorf("%.20s: accepted as %.20s", form, got)
		}
	}
}

// FuzzForm checks that every form is refused or becomes JSON, that no field is
// lost without reason, and that nothing of an earlier form shows up.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"a=1&a[b]=&a[][c]=2", "[]=1&[][]=2&]=", "a[[b=%ff&x y[]z=1", "a=&a[]=1&a[x]=2&a[x][]=3", strings.Repeat("[", 200)} {
		f.Add(s)
	}
	var tr tree[string]
	f.Fuzz(func(t *testing.T, form string) {
		tr.reset()
		err := parseURLEncoded(&tr, form)
		fresh, freshErr := formJSON(form)
		if (err == nil) != (freshErr == nil) {
			t.Fatalf("%v, a new tree %v", err, freshErr)
		}
		if err != nil {
			return
		}
		got := tr.appendJSON(nil, appendJSONString)
		if string(got) != fresh {
			t.Fatalf("%s, a new tree %s", got, fresh)
		}
		var v map[string]any
		if err := json.Unmarshal(got, &v); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var w map[string]any
		if json.Unmarshal(again, &w) != nil || !reflect.DeepEqual(v, w) {
			t.Fatal("not stable")
		}
	})
}
