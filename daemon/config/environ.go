package config

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// environ are environment variables by name.
type environ map[string]string

func newEnviron(list []string) environ {
	e := make(environ, len(list))
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			e[name] = value
		}
	}
	return e
}

// list has the form of os.Environ, sorted by name.
func (e environ) list() []string {
	out := make([]string, 0, len(e))
	for name, value := range e {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// addFile adds the variables of a dotenv file; existing ones win.
func (e environ) addFile(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the environment file: %w", err)
	}
	vars, err := godotenv.Parse(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("cannot read the environment file %s: %w", path, err)
	}
	for name, value := range vars {
		if _, exists := e[name]; !exists {
			e[name] = value
		}
	}
	return nil
}
