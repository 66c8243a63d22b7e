package mmap

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// A ground is memory whose addresses a test gives to mappings that do not exist.
type ground []byte

const groundUnit = 16 // bytes; no mapping is smaller

func newGround(units int) ground { return make(ground, units*groundUnit) }

// mapping is one of so many units, from a unit on.
func (g ground) mapping(unit, units int) *mapping {
	return &mapping{space: space{addr: unsafe.Pointer(&g[unit*groundUnit]), size: uintptr(units * groundUnit)}}
}

func (g ground) addr(off int) uintptr { return uintptr(unsafe.Pointer(&g[0])) + uintptr(off) }

// treeModel is what the registry does, in a sorted slice.
type treeModel struct {
	units []piece
}

type piece struct {
	unit, units int
	m           *mapping
}

// index returns where a piece with this unit is or would be.
func (l *treeModel) index(unit int) int {
	i, _ := slices.BinarySearchFunc(l.units, unit, func(p piece, unit int) int { return p.unit - unit })
	return i
}

// at returns the mapping that holds an offset of the ground.
func (l *treeModel) at(off int) *mapping {
	i := l.index(off/groundUnit + 1)
	if i > 0 && off/groundUnit < l.units[i-1].unit+l.units[i-1].units {
		return l.units[i-1].m
	}
	return nil
}

// check compares a tree with the model, node by node, and returns its depth.
func (l *treeModel) check(t testing.TB, tree *addressTree) (depth int) {
	t.Helper()
	var in []*mapping
	var walk func(m *mapping, level int)
	walk = func(m *mapping, level int) {
		if m == nil {
			return
		}
		depth = max(depth, level)
		for _, child := range []*mapping{m.node.left, m.node.right} {
			if child != nil && child.priority() > m.priority() {
				t.Fatal("a node comes before one of higher priority")
			}
		}
		walk(m.node.left, level+1)
		in = append(in, m)
		walk(m.node.right, level+1)
	}
	walk(tree.root, 1)
	if len(in) != len(l.units) || tree.count != len(in) {
		t.Fatalf("the tree has %d mappings and counts %d, want %d", len(in), tree.count, len(l.units))
	}
	var bytes uintptr
	for i, p := range l.units {
		if in[i] != p.m || p.m.node.size != uintptr(p.units*groundUnit) {
			t.Fatalf("number %d in order of address is another mapping, or of another size", i)
		}
		bytes += p.m.node.size
	}
	if got := tree.total(); got != bytes {
		t.Fatalf("the tree counts %d bytes, want %d", got, bytes)
	}
	return depth
}

func fuzzRegistry(t testing.TB, steps []byte) {
	const units = 1 << 10
	g := newGround(units)
	var tree addressTree
	var model treeModel
	next := func() (n int) {
		for range 2 {
			n <<= 8
			if len(steps) > 0 {
				n |= int(steps[0])
				steps = steps[1:]
			}
		}
		return n
	}
	for len(steps) > 0 {
		op, unit := next()%8, next()%units
		switch i := model.index(unit); {
		case op < 3: // insert, as large as fits
			if model.at(unit*groundUnit) != nil {
				continue
			}
			end := units
			if i < len(model.units) {
				end = model.units[i].unit
			}
			p := piece{unit, 1 + next()%min(end-unit, 9), nil}
			p.m = g.mapping(p.unit, p.units)
			model.units = slices.Insert(model.units, i, p)
			tree.insert(p.m)
		case len(model.units) == 0:
		case op < 5:
			i %= len(model.units)
			tree.remove(model.units[i].m)
			if model.units[i].m.node != (node{}) {
				t.Fatal("a mapping that was removed still holds others")
			}
			model.units = slices.Delete(model.units, i, i+1)
		case op < 6:
			p := &model.units[i%len(model.units)]
			p.units = 1 + next()%p.units
			tree.shrink(p.m, uintptr(p.units*groundUnit))
		default:
			p := model.units[i%len(model.units)]
			begin, end := p.unit*groundUnit, (p.unit+p.units)*groundUnit
			for _, off := range []int{begin - 1, begin, begin + 1, end - 1, end, unit*groundUnit + next()%groundUnit} {
				if off < 0 || off >= len(g) {
					continue
				}
				if got := tree.find(g.addr(off)); got != model.at(off) {
					t.Fatalf("at offset %d the tree finds %p, want %p", off, got, model.at(off))
				}
			}
		}
		if len(steps)%64 == 0 {
			model.check(t, &tree)
		}
	}
	model.check(t, &tree)
	for _, addr := range []uintptr{0, 1, ^uintptr(0)} {
		if tree.find(addr) != nil {
			t.Fatalf("the tree finds something at address %#x", addr)
		}
	}
}

func FuzzRegistryIsASortedList(f *testing.F) {
	rnd := rand.NewChaCha8([32]byte{7})
	for _, n := range []int{10, 1000, 50_000} {
		steps := make([]byte, n)
		rnd.Read(steps)
		f.Add(steps)
	}
	f.Fuzz(func(t *testing.T, steps []byte) { fuzzRegistry(t, steps) })
}

// A balanced tree of n nodes is log n deep. One that grew in random order is, at
// this size, about three times as deep, and never five.
func TestTheRegistryStaysBalanced(t *testing.T) {
	const n = 50_000
	most := 5 * bits.Len(n)
	g := newGround(n)
	orders := map[string][]int{"upwards": nil, "downwards": nil, "from both ends": nil, "in any order": rand.Perm(n)}
	for i := range n {
		orders["upwards"] = append(orders["upwards"], i)
		orders["downwards"] = append(orders["downwards"], n-1-i)
		orders["from both ends"] = append(orders["from both ends"], []int{i / 2, n - 1 - i/2}[i%2])
	}
	for what, order := range orders {
		var tree addressTree
		all := make([]piece, n)
		for _, unit := range order {
			all[unit] = piece{unit, 1, g.mapping(unit, 1)}
			tree.insert(all[unit].m)
		}
		depth := (&treeModel{all}).check(t, &tree)
		// A program that goes on for long: the oldest go, and others come there.
		for _, unit := range order {
			tree.remove(all[unit].m)
			all[unit].m = g.mapping(unit, 1)
			tree.insert(all[unit].m)
		}
		later := (&treeModel{all}).check(t, &tree)
		t.Logf("%s: %d deep, and %d when all were replaced", what, depth, later)
		if max(depth, later) > most {
			t.Errorf("%s: %d deep, and %d when all were replaced, want at most %d", what, depth, later, most)
		}
	}
}
