package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

const traced = `memory_region_ops_write cpu 0 mr 0x55d0c1 addr 0x3f8 value 0x56 size 1 name 'serial'
memory_region_ops_read cpu 1 mr 0x55d0c8 addr 0xfea00000 value 0x10000ed size 4 name 'edu-mmio'
77@1.5:memory_region_ops_write cpu -1 mr 0x55d0c8 addr 0xfea00080 value 0xfedcba9876543210 size 8 name 'edu-mmio'
Invalid read at addr 0x1, size 1, region 'other', reason: invalid size (min:4 max:8)
`

func TestTheTraceTellsWhatADeviceSaw(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	said := []plan.Access{
		{Step: "one", Device: plan.Registers, At: 0xfea00000, Size: 4, Value: 0x10000ed},
		{Step: "two", Device: plan.Registers, Store: true, At: 0xfea00080, Size: 8, Value: 0xfedcba9876543210},
	}
	for _, tt := range []struct{ trace, wrong string }{
		{traced, ""},
		{traced + "Invalid write at addr 0x4, size 2, region 'edu-mmio', reason: invalid size (min:4 max:8)\n",
			"the device saw store of 0x0, 2 bytes at 0x4 of edu-mmio, refused: invalid size (min:4 max:8) (access 2, after two)"},
	} {
		if err := os.WriteFile(file, []byte(tt.trace), 0o600); err != nil {
			t.Fatal(err)
		}
		seen, err := seenAccesses(file, plan.Registers)
		if err != nil {
			t.Fatal(err)
		}
		err = sameAccesses(said, seen)
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Error(err)
		}
	}
}

func TestEveryDifferenceOfTwoListsOfAccessesIsFound(t *testing.T) {
	load := plan.Access{Step: "load", Device: "d", At: 4, Size: 4, Value: 7}
	store := plan.Access{Step: "store", Device: "d", Store: true, At: 8, Size: 4, Value: 9}
	poll := load
	poll.Step, poll.Again = "poll", true
	changed := func(change func(*plan.Access)) []plan.Access {
		a := load
		change(&a)
		return []plan.Access{a, store}
	}
	for _, tt := range []struct {
		name       string
		said, seen []plan.Access
		want       string // in the error; "" for none
	}{
		{"the same", []plan.Access{load, store}, []plan.Access{load, store}, ""},
		{"one that may be repeated", []plan.Access{poll, store}, []plan.Access{load, load, load, store}, ""},
		{"it once", []plan.Access{poll, store}, []plan.Access{load, store}, ""},
		{"it never", []plan.Access{poll, store}, []plan.Access{store}, "poll: load"},
		{"nothing said", nil, nil, "nothing"},
		{"one repeated", []plan.Access{load, store}, []plan.Access{load, load, store}, "store: store of 0x9, 4 bytes at 0x8 of d, said the guest; the device saw load of 0x7"},
		{"one left out", []plan.Access{load, store}, []plan.Access{load}, "no more"},
		{"one more at the end", []plan.Access{load}, []plan.Access{load, store}, "nobody asked"},
		{"another order", []plan.Access{load, store}, []plan.Access{store, load}, "load: load"},
		{"another width", []plan.Access{load, store}, changed(func(a *plan.Access) { a.Size = 8 }), "8 bytes"},
		{"another place", []plan.Access{load, store}, changed(func(a *plan.Access) { a.At = 0 }), "at 0x0"},
		{"another value", []plan.Access{load, store}, changed(func(a *plan.Access) { a.Value = 8 }), "0x8"},
		{"a store for a load", []plan.Access{load, store}, changed(func(a *plan.Access) { a.Store = true }), "saw store"},
	} {
		var seen []plan.Access
		for _, a := range tt.seen {
			a.Step = "" // which no device sees
			seen = append(seen, a)
		}
		err := sameAccesses(tt.said, seen)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestTheGuestsAccessesComeAsLines(t *testing.T) {
	a := plan.Access{Step: "a step", Device: "d", Store: true, At: 1 << 40, Size: 8, Value: 1<<64 - 1, Again: true}
	said := saidAccesses([]string{"=== RUN", a.Line(), "    pci_test.go:9: what a log has", a.Line()})
	if len(said) != 1 || len(said["d"]) != 2 || said["d"][1] != a {
		t.Errorf("%v", said)
	}
}

func TestSharedMemoryHasWhatTheGuestStored(t *testing.T) {
	memory := make([]byte, 32)
	memory[9] = 1
	for _, tt := range []struct {
		stores []plan.Access
		ok     bool
	}{
		{[]plan.Access{{At: 8, Size: 8, Value: 256}, {At: 24, Size: 8}}, true},
		{[]plan.Access{{At: 8, Size: 8, Value: 255}}, false},
		{[]plan.Access{{At: 32, Size: 8}}, false},
		{nil, false},
	} {
		if err := hasStores(memory, tt.stores); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.stores, err)
		}
	}
}

func TestMemoryOfADeviceIsWhatWasStoredLast(t *testing.T) {
	seen := []plan.Access{
		{Store: true, At: 6, Size: 4, Value: 0x04030201},
		{Store: true, At: 9, Size: 1, Value: 5},
		{At: 9, Size: 1, Value: 6}, // a load
		{Store: true, At: 11, Size: 4, Value: 0x0a090807},
	}
	if got, want := stored(seen, 8, 5), "\x03\x05\x00\x07\x08"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
