package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A made entry of a list of writes; each sector of its data is filled with fill.
type made struct {
	sector, sectors, flags uint64
	fill                   byte
}

func (m made) bytes() []byte {
	b := make([]byte, logSector)
	binary.LittleEndian.PutUint64(b, m.sector)
	binary.LittleEndian.PutUint64(b[8:], m.sectors)
	binary.LittleEndian.PutUint64(b[16:], m.flags)
	if m.flags&logDiscard == 0 {
		b = append(b, bytes.Repeat([]byte{m.fill}, int(m.sectors)*logSector)...)
	}
	return b
}

// listOf is a list of writes as qemu makes it, once it has flushed.
func listOf(entries ...made) []byte {
	b := make([]byte, logSector)
	binary.LittleEndian.PutUint64(b, logMagic)
	binary.LittleEndian.PutUint64(b[8:], 1)
	binary.LittleEndian.PutUint64(b[16:], uint64(len(entries)))
	binary.LittleEndian.PutUint32(b[24:], logSector)
	for _, e := range entries {
		b = append(b, e.bytes()...)
	}
	return b
}

func read(t *testing.T, list []byte) []logEntry {
	t.Helper()
	entries, err := readLog(bytes.NewReader(list), int64(len(list)))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

var flush = made{flags: logFlush}

func TestALossOfPowerLeavesWhatWasFlushed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []made
		least   []uint64 // the sectors of what is always left
		most    []uint64 // and of what may be left
	}{
		{"nothing", nil, nil, nil},
		{"no flush", []made{{1, 1, 0, 'a'}, {2, 1, 0, 'b'}}, nil, []uint64{1, 2}},
		{"a flush", []made{{1, 1, 0, 'a'}, flush, {2, 1, 0, 'b'}}, []uint64{1}, []uint64{1, 2}},
		{"only the last flush counts", []made{{1, 1, 0, 'a'}, flush, {2, 1, 0, 'b'}, flush, {3, 1, 0, 'c'}}, []uint64{1, 2}, []uint64{1, 2, 3}},
		{"all is flushed", []made{{1, 1, 0, 'a'}, {2, 1, 0, 'b'}, flush}, []uint64{1, 2}, []uint64{1, 2}},
		{"FUA protects itself alone", []made{{1, 1, 0, 'a'}, {2, 1, logFUA, 'b'}, {3, 1, 0, 'c'}}, []uint64{2}, []uint64{1, 2, 3}},
		{"a write with a flush comes after it", []made{{1, 1, 0, 'a'}, {2, 1, logFlush, 'b'}}, []uint64{1}, []uint64{1, 2}},
		{"a write with a flush and FUA", []made{{1, 1, 0, 'a'}, {2, 1, logFlush | logFUA, 'b'}}, []uint64{1, 2}, []uint64{1, 2}},
		{"a discard is a write too", []made{{1, 9, logDiscard, 0}, flush, {2, 9, logDiscard, 0}}, []uint64{1}, []uint64{1, 2}},
		{"a remark is none", []made{{1, 1, logMark, 'a'}, flush}, nil, nil},
	} {
		entries := read(t, listOf(tt.entries...))
		if len(entries) != len(tt.entries) {
			t.Errorf("%s: %d entries", tt.name, len(entries))
		}
		for keep, want := range map[bool][]uint64{false: tt.least, true: tt.most} {
			var got []uint64
			for _, e := range survivors(entries, func() bool { return keep }) {
				got = append(got, e.sector)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: sectors %v are left, want %v, if what is not protected is kept: %v", tt.name, got, want, keep)
			}
		}
	}
}

func TestReplayDoesWhatTheListTells(t *testing.T) {
	const sectors = 8
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, bytes.Repeat([]byte{'-'}, sectors*logSector), 0o600); err != nil {
		t.Fatal(err)
	}
	img, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	list := listOf(made{1, 2, 0, 'a'}, made{2, 2, logFUA, 'b'}, flush, made{6, 2, 0, 'c'}, made{7, 1, logDiscard, 0})
	if err := replay(img, bytes.NewReader(list), read(t, list)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, fill := range []byte("-abb--c\x00") {
		want = append(want, bytes.Repeat([]byte{fill}, logSector)...)
	}
	if !bytes.Equal(got, want) {
		for i := range sectors {
			t.Errorf("sector %d begins with %q, want %q", i, got[i*logSector], want[i*logSector])
		}
	}
	beyond := listOf(made{7, 2, 0, 'a'})
	if err := replay(img, bytes.NewReader(beyond), read(t, beyond)); err == nil {
		t.Error("a write beyond the disk is no error")
	}
}

func TestAListMayEndAnywhere(t *testing.T) {
	made := []made{{1, 3, 0, 'a'}, flush, {5, 2, logDiscard, 0}, {9, 1, logFUA, 'b'}}
	list := listOf(made...)
	whole := read(t, list)
	ends := []int{logSector} // where each entry ends
	for _, m := range made {
		ends = append(ends, ends[len(ends)-1]+len(m.bytes()))
	}
	for size := range list {
		got := read(t, list[:size])
		n := 0
		for n < len(made) && ends[n+1] <= size {
			n++
		}
		if !slices.Equal(got, whole[:n]) {
			t.Fatalf("the first %d bytes have the entries %v, want %v", size, got, whole[:n])
		}
	}
}

func TestAnEntryMayNotBeWrittenYetWhenLaterOnesAre(t *testing.T) {
	list := listOf(made{1, 2, 0, 'a'}, made{3, 4, 0, 'b'}, made{7, 1, 0, 'c'}, flush)
	clear(list[4*logSector : 9*logSector])
	var got []uint64
	for _, e := range read(t, list) {
		got = append(got, e.sector)
	}
	if want := []uint64{1, 7, 0}; !slices.Equal(got, want) {
		t.Errorf("sectors %v, want %v", got, want)
	}
	// Before the first flush the first sector is empty.
	clear(list[:logSector])
	if got := read(t, list); len(got) != 3 {
		t.Errorf("without a flush: %v", got)
	}
}

func TestWhatIsNoListIsAnError(t *testing.T) {
	list := listOf(made{1, 1, 0, 'a'}, flush)
	for name, at := range map[string]int{"magic": 0, "size of sectors": 25, "flags": logSector + 17, "sector": logSector + 7} {
		broken := slices.Clone(list)
		broken[at] ^= 0x7f
		if got, err := readLog(bytes.NewReader(broken), int64(len(broken))); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}
