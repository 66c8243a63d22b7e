package mmap

import (
	"sync"
	"unsafe"
)

// The registry finds the mapping that holds an address. It lists the address space
// that this package owns, tombstones included.
//
// It is a treap: a search tree by address that is a heap by priority, and so is
// balanced as if the mappings had come in random order. The nodes are in the
// mappings: to add or remove one allocates nothing, and takes a few steps even
// among 50,000.

// A node is a mapping's place in the tree. It changes under the registry's lock.
type node struct {
	addr, size  uintptr
	left, right *mapping
}

type addressTree struct {
	mu    sync.Mutex // a leaf
	root  *mapping
	count int
	bytes uintptr
}

var registry addressTree

func (t *addressTree) insert(m *mapping) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.node = node{addr: uintptr(m.space.addr), size: m.space.size}
	below, above := split(t.root, m.node.addr)
	t.root = merge(merge(below, m), above)
	t.count++
	t.bytes += m.node.size
}

func (t *addressTree) remove(m *mapping) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cutOut(m)
}

// cutOut removes m. The caller holds mu.
func (t *addressTree) cutOut(m *mapping) {
	at := &t.root
	for *at != m {
		if m.node.addr < (*at).node.addr {
			at = &(*at).node.left
		} else {
			at = &(*at).node.right
		}
	}
	*at = merge(m.node.left, m.node.right)
	t.count--
	t.bytes -= m.node.size
	m.node = node{}
}

// shrink leaves only the first size bytes of m's space in the tree, if it has more.
func (t *addressTree) shrink(m *mapping, size uintptr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case size >= m.node.size:
	case size == 0:
		t.cutOut(m)
	default:
		t.bytes -= m.node.size - size
		m.node.size = size
	}
}

// find returns the mapping that holds the address, nil if none does.
func (t *addressTree) find(addr uintptr) *mapping {
	t.mu.Lock()
	defer t.mu.Unlock()
	for m := t.root; m != nil; {
		switch {
		case addr < m.node.addr:
			m = m.node.left
		case addr-m.node.addr < m.node.size:
			return m
		default:
			m = m.node.right
		}
	}
	return nil
}

// total returns how many bytes of address space there are in the tree.
func (t *addressTree) total() uintptr {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes
}

// split divides a tree into what lies below an address and what does not.
func split(m *mapping, addr uintptr) (below, above *mapping) {
	if m == nil {
		return nil, nil
	}
	if m.node.addr < addr {
		m.node.right, above = split(m.node.right, addr)
		return m, above
	}
	below, m.node.left = split(m.node.left, addr)
	return below, m
}

// merge joins two trees, of which all of the first lies below the second.
func merge(below, above *mapping) *mapping {
	switch {
	case below == nil:
		return above
	case above == nil:
		return below
	case below.priority() > above.priority():
		below.node.right = merge(below.node.right, above)
		return below
	}
	above.node.left = merge(below, above.node.left)
	return above
}

// priority is that of m's node.
func (m *mapping) priority() uint64 { return scrambled(uint64(uintptr(unsafe.Pointer(m)))) }

// scrambled makes a priority of an address. In the product the upper bits depend on
// all bits of the address, and they decide.
func scrambled(x uint64) uint64 { return x * 0x9e3779b97f4a7c15 }
