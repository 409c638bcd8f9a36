package rpc

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"sync"
	"testing"
)

// TestGobTypes: bytes that name a type which they do not define are decoded while
// other types are met for the first time. The race detector looks on.
func TestGobTypes(t *testing.T) {
	type inner struct{ B int }
	type outer struct {
		A     int
		Inner inner
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(outer{1, inner{2}}); err != nil {
		t.Fatal(err)
	}
	// Messages of gob begin with their length, here one byte each: two types, a value.
	stream := b.Bytes()
	second := 1 + int(stream[0])
	third := second + 1 + int(stream[second])
	undefined := append(bytes.Clone(stream[:second]), stream[third:]...)

	var group sync.WaitGroup
	group.Go(func() {
		for range 100 {
			if err := Decode(Gob, undefined, &struct{ A int }{}); err == nil {
				t.Error("an undefined type is no error")
			}
		}
	})
	group.Go(func() {
		for i := range 100 {
			v := reflect.New(reflect.StructOf([]reflect.StructField{{Name: fmt.Sprintf("F%d", i), Type: reflect.TypeFor[int]()}}))
			v.Elem().Field(0).SetInt(1)
			if _, err := Append(nil, Gob, v.Interface()); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
}
