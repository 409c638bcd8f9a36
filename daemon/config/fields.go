package config

import (
	"fmt"
	"reflect"
	"strings"
)

// fieldSet are the fields of one struct value that have a `cfg` tag.
type fieldSet struct {
	byName map[string]field
	remain reflect.Value // the map tagged `,remain`; invalid if there is none
}

type field struct {
	value  reflect.Value
	option string
}

func fieldsOf(v reflect.Value) fieldSet {
	s := fieldSet{byName: map[string]field{}}
	s.collect(v)
	return s
}

func (s *fieldSet) collect(v reflect.Value) {
	for i := range v.NumField() {
		name, option, tagged := parseTag(v.Type().Field(i))
		if !tagged {
			continue
		}
		switch option {
		case "squash":
			s.collect(v.Field(i))
		case "remain":
			s.remain = v.Field(i)
		default:
			s.byName[name] = field{v.Field(i), option}
		}
	}
}

func parseTag(f reflect.StructField) (name, option string, tagged bool) {
	tag, tagged := f.Tag.Lookup("cfg")
	if !tagged || tag == "-" {
		return "", "", false
	}
	name, option, _ = strings.Cut(tag, ",")
	switch option {
	case "", "size", "ignored", "squash", "remain":
	default:
		panic(fmt.Sprintf("config: field %s has an unknown tag option %q", f.Name, option))
	}
	return strings.ToLower(name), option, true
}

// findBelow looks for a key one level further down (`num_workers` written
// beside `pool` instead of in it) and returns its path, or "".
func findBelow(typ reflect.Type, name string) string {
	for i := range typ.NumField() {
		section, option, tagged := parseTag(typ.Field(i))
		if !tagged {
			continue
		}
		sub := typ.Field(i).Type
		if sub.Kind() == reflect.Pointer {
			sub = sub.Elem()
		}
		if sub.Kind() != reflect.Struct {
			continue
		}
		if option == "squash" {
			if where := findBelow(sub, name); where != "" {
				return where
			}
			continue
		}
		for j := range sub.NumField() {
			if key, _, tagged := parseTag(sub.Field(j)); tagged && key == name {
				return section + "." + name
			}
		}
	}
	return ""
}
