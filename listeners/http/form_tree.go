package http

import "fmt"

// tree is a form as PHP would see it: names with brackets become nested arrays.
// It is built from fields in input order, which it keeps, and is written as
// JSON.
//
// Where RoadRunner is deterministic and loses nothing, the result decodes to
// the same PHP arrays. It differs where RoadRunner depends on the order of a
// hash map or loses values:
//
//	a[][b]=1&a[][c]=2   two elements, as in PHP (RoadRunner: one, with the key "")
//	a[]=1&a=2           the last one wins, as in PHP
//	key order           is the input's (RoadRunner sorts bytewise)
//
// As in RoadRunner, and unlike PHP, a name used with different structures is
// an error (a[]=1&a[b]=2, a=1&a[b]=2) unless one of the two holds nothing but
// empty values and gives way; and a[][]=1 is {"a":{"":["1"]}}.
type tree[L any] struct {
	nodes  []node[L]
	index  map[childKey]int32 // children of map nodes
	scopes int32
	keys   []string // scratch of add
}

type nodeKind uint8

const (
	leafNode nodeKind = iota
	mapNode
	listNode
)

// node is a leaf, or holds its children as a linked list of indices into nodes
// (0, the root, is nobody's child and stands for none).
type node[L any] struct {
	kind  nodeKind
	empty bool // nothing but empty values so far: gives way to other structures
	key   string
	leaf  L

	scope       int32 // names this node's children in the index
	first, last int32
	next        int32
}

type childKey struct {
	scope int32
	key   string
}

// conflictError tells that a key was used with two structures.
type conflictError struct{ key string }

func (e *conflictError) Error() string {
	return fmt.Sprintf("invalid multiple values to key '%s' in tree", e.key)
}

// place says what happens to a value whose name leads to a leaf with a value.
type place uint8

const (
	lastWins  place = iota // fields
	firstWins              // files
)

func (t *tree[L]) reset() {
	clear(t.nodes)
	t.nodes = append(t.nodes[:0], node[L]{kind: mapNode})
	t.scopes = 0
	if t.index == nil {
		t.index = make(map[childKey]int32)
	}
	clear(t.index)
}

func (t *tree[L]) isEmpty() bool { return len(t.nodes) <= 1 }

// add puts a value into the tree and tells whether it is there now. empty marks
// a value that gives way to any other structure. name must not change while
// the tree is in use.
func (t *tree[L]) add(name string, leaf L, empty bool, p place) (added bool, err error) {
	keys, ok := appendNameKeys(t.keys[:0], name)
	t.keys = keys
	if !ok {
		return false, nil
	}
	// Follow the existing nodes. The first that has not the needed structure is
	// turned into it or ends the walk; whatever follows is new and cannot conflict.
	at := int32(0)
	for i, key := range keys {
		n, want := &t.nodes[at], mapNode
		if appends(keys, i) {
			want = listNode
		}
		if n.kind != want {
			last := i == len(keys)-1
			switch {
			case n.empty || n.kind == leafNode && want == listNode && last && p == lastWins && !empty:
				t.turn(at, want)
			case empty:
				return false, nil
			default:
				return false, &conflictError{n.key}
			}
		}
		child, ok := int32(0), false
		if want == mapNode {
			child, ok = t.index[childKey{t.nodes[at].scope, key}]
		}
		if !ok {
			child = t.newChild(at, want, key)
		}
		at = child
	}
	switch n := &t.nodes[at]; {
	case n.empty:
	case n.kind == leafNode && p == firstWins, n.kind != leafNode && empty:
		return false, nil
	case n.kind == mapNode, n.kind == listNode && p == firstWins:
		return false, &conflictError{n.key}
	}
	t.turn(at, leafNode)
	t.nodes[at].leaf, t.nodes[at].empty = leaf, empty
	if !empty {
		t.fill(keys)
	}
	return true, nil
}

// appends tells whether keys[i] adds an element to a list. The first key never
// does: it is the field's name, even an empty one. A row of "" at the end keeps
// RoadRunner's form: only the last one is a list.
func appends(keys []string, i int) bool {
	if i == 0 || keys[i] != "" {
		return false
	}
	for _, k := range keys[i+1:] {
		if k != "" {
			return true
		}
	}
	return i == len(keys)-1
}

// turn gives a node another kind and drops what it held.
func (t *tree[L]) turn(at int32, k nodeKind) {
	var none L
	n := &t.nodes[at]
	t.scopes++
	n.kind, n.leaf, n.scope, n.first, n.last = k, none, t.scopes, 0, 0
}

func (t *tree[L]) newChild(parent int32, kind nodeKind, key string) int32 {
	id := int32(len(t.nodes))
	t.nodes = append(t.nodes, node[L]{kind: leafNode, empty: true, key: key})
	p := &t.nodes[parent]
	if p.last == 0 {
		p.first = id
	} else {
		t.nodes[p.last].next = id
	}
	p.last = id
	if kind == mapNode {
		t.index[childKey{p.scope, key}] = id
	}
	return id
}

// fill marks the nodes on the way to the newest value as not empty.
func (t *tree[L]) fill(keys []string) {
	at := int32(0)
	for i, key := range keys {
		t.nodes[at].empty = false
		if appends(keys, i) {
			at = t.nodes[at].last
		} else {
			at = t.index[childKey{t.nodes[at].scope, key}]
		}
	}
}

// appendJSON appends the tree, its leaves written by f.
func (t *tree[L]) appendJSON(dst []byte, f func(dst []byte, leaf L) []byte) []byte {
	return t.appendNode(dst, 0, f)
}

func (t *tree[L]) appendNode(dst []byte, at int32, f func([]byte, L) []byte) []byte {
	n := &t.nodes[at]
	if n.kind == leafNode {
		return f(dst, n.leaf)
	}
	left, right := byte('{'), byte('}')
	if n.kind == listNode {
		left, right = '[', ']'
	}
	dst = append(dst, left)
	for child := n.first; child != 0; child = t.nodes[child].next {
		if child != n.first {
			dst = append(dst, ',')
		}
		if n.kind == mapNode {
			dst = append(appendJSONString(dst, t.nodes[child].key), ':')
		}
		dst = t.appendNode(dst, child, f)
	}
	return append(dst, right)
}
