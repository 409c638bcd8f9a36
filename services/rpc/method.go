package rpc

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
)

// Method is one row of the server's table.
type Method struct {
	Name       string // "informer.List"
	Role       Role
	Arg, Reply string // Go types
}

// method is a registered function behind its codecs.
type method struct {
	Method
	// decode is a step of its own, so that the argument's memory can be given
	// back before the function runs, which may take long. The decoded argument
	// does not refer to data.
	decode func(flags byte, data []byte) (arg any, err error)
	// inline tells of an argument that the function, called with it, ends soon and
	// waits for nobody. It is nil for a method of which that is never known.
	inline func(arg any) bool
	// run calls the function and appends the encoded result to out.
	run func(ctx context.Context, flags byte, arg any, out []byte) ([]byte, error)
}

// Register adds a method to the table: fn gets a new argument and a new, zero
// reply and fills the reply. name is "service.Method". An error's text goes to
// the caller as it is. ctx ends when the peer goes away or the server closes,
// and holds the peer (PeerFrom). fn may run concurrently with itself.
//
// All methods are registered before Run. Register panics when the name is
// ill-formed or taken, which only the program's own code decides.
func Register[A, R any](s *Server, name string, role Role, fn func(ctx context.Context, arg *A, reply *R) error) {
	register(s, name, role, nil, fn)
}

// RegisterInline is Register for a method of which some calls, those with an
// argument for which inline is true, take microseconds and wait for nobody: not
// for the network, a process or another call. They need no goroutine of their own,
// to start which costs more than they do.
func RegisterInline[A, R any](s *Server, name string, role Role, inline func(arg *A) bool, fn func(ctx context.Context, arg *A, reply *R) error) {
	register(s, name, role, func(arg any) bool { return inline(arg.(*A)) }, fn)
}

// Always is for RegisterInline: all calls are of that kind.
func Always[A any](*A) bool { return true }

func register[A, R any](s *Server, name string, role Role, inline func(arg any) bool, fn func(ctx context.Context, arg *A, reply *R) error) {
	service, short, ok := split(name)
	if !ok || service == "" || short == "" {
		panic(fmt.Sprintf("rpc: %q is no method name of the form service.Method", name))
	}
	if _, taken := s.methods[name]; taken {
		panic(fmt.Sprintf("rpc: method %s is registered twice", name))
	}
	s.services[service] = true
	s.methods[name] = &method{
		Method: Method{Name: name, Role: role, Arg: reflect.TypeFor[A]().String(), Reply: reflect.TypeFor[R]().String()},
		decode: func(flags byte, data []byte) (any, error) {
			arg := new(A)
			switch err := wire.Accepts(flags, arg, (*R)(nil)); {
			case err == wire.ErrNotRaw && role == Anyone:
				// RoadRunner runs the method without an argument, and what that
				// says comes before the codec's fault.
				return arg, nil
			case err != nil:
				return nil, err
			}
			codec, err := wire.ArgumentCodec(flags)
			if err == nil {
				err = wire.Decode(codec, data, arg)
			}
			return arg, err
		},
		inline: inline,
		run: func(ctx context.Context, flags byte, arg any, out []byte) ([]byte, error) {
			reply := new(R)
			if err := fn(ctx, arg.(*A), reply); err != nil {
				return out, err
			}
			return wire.Append(out, wire.AnswerCodec(flags), reply)
		},
	}
}

// Methods returns the table, sorted by name.
func (s *Server) Methods() []Method {
	list := make([]Method, 0, len(s.methods))
	for _, m := range s.methods {
		list = append(list, m.Method)
	}
	slices.SortFunc(list, func(a, b Method) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// find returns the method of a call; the error has the text of net/rpc.
func (s *Server) find(name []byte) (*method, error) {
	if m := s.methods[string(name)]; m != nil {
		return m, nil
	}
	service, _, ok := split(string(name))
	switch {
	case !ok:
		return nil, fmt.Errorf("rpc: service/method request ill-formed: %s", name)
	case !s.services[service]:
		return nil, fmt.Errorf("rpc: can't find service %s", name)
	}
	return nil, fmt.Errorf("rpc: can't find method %s", name)
}

// split cuts a method name at its last dot.
func split(name string) (service, method string, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "", "", false
	}
	return name[:dot], name[dot+1:], true
}
