//go:build !mmap_posix

package mmap

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The operations whose system calls are refused.

// With these a reservation is large enough that the library looks for a place.
const largeReserve = 8 * minVacancy

func operations() []*operation {
	ops := slices.Concat(openings(), creations(), resizes(), others(), coldAccesses(), closings())
	slices.SortFunc(ops, func(a, b *operation) int { return strings.Compare(a.what, b.what) })
	return ops
}

// Sizes in bytes: shortSize ends inside its third page, longSize inside its sixth.
var (
	pageBytes = os.Getpagesize()
	shortSize = 2*pageBytes + 100
	longSize  = 5*pageBytes + 100
)

// fileOf prepares a file of n bytes.
func fileOf(n int) func(s *stage) {
	return func(s *stage) {
		if err := os.WriteFile(s.name, pattern(n), 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

func nothing(s *stage) {}

// opened prepares a region of a file of shortSize bytes.
func opened(c Config) func(s *stage) {
	return func(s *stage) {
		fileOf(shortSize)(s)
		s.keep(c.Open(s.name))
	}
}

// createdBy prepares a region that Create made, synced or not.
func createdBy(c Config, synced bool) func(s *stage) {
	return func(s *stage) {
		r := s.keep(c.Create(s.name, int64(shortSize)))
		copy(r.memory(), pattern(shortSize))
		if synced {
			if err := r.Sync(); err != nil {
				s.Fatal(err)
			}
		}
	}
}

// memoryOf prepares a region of memory.
func memoryOf(c Config) func(s *stage) {
	return func(s *stage) {
		s.name = "anonymous memory"
		r := s.keep(c.Anonymous(int64(shortSize)))
		copy(r.memory(), pattern(shortSize))
	}
}

// memory is Bytes, but does not count as raw memory that was handed out.
func (r *Region) memory() []byte { return r.o.bytes(0, r.Len()) }

// keep is what a constructor returns, in prepare.
func (s *stage) keep(r *Region, err error) *Region {
	if err != nil {
		s.Fatal(err)
	}
	s.r = r
	return r
}

// take is what a constructor returns, under test.
func (s *stage) take(r *Region, err error) error {
	if err == nil {
		s.r = r
	} else if r != nil {
		s.Errorf("a Region and an error: %v", err)
	}
	return err
}

// memFile prepares a file in memory without a name, open as s.f.
func memFile(s *stage) {
	fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	if err != nil {
		s.Skipf("no memory files: %v", err)
	}
	s.f = os.NewFile(uintptr(fd), "a memory file")
	s.name = s.f.Name()
	if _, err := s.f.Write(pattern(shortSize)); err != nil {
		s.Fatal(err)
	}
}

func openings() (ops []*operation) {
	for what, c := range map[string]Config{
		"ReadOnly":                          {},
		"ReadWrite":                         {Mode: ReadWrite},
		"CopyOnWrite":                       {Mode: CopyOnWrite},
		"CopyOnWrite with Reserve":          {Mode: CopyOnWrite, Reserve: int64(longSize)},
		"with Reserve":                      {Mode: ReadWrite, Reserve: int64(longSize)},
		"with a large Reserve":              {Reserve: largeReserve},
		"of a window":                       {Offset: 10, Length: 20},
		"of a window with Reserve":          {Mode: ReadWrite, Offset: 10, Length: 20, Reserve: int64(shortSize)},
		"with Lock":                         {Lock: true},
		"CopyOnWrite with Lock and Reserve": {Mode: CopyOnWrite, Lock: true, Reserve: int64(longSize)},
		"with Populate":                     {Populate: true},
		"with Populate and Lock":            {Mode: ReadWrite, Populate: true, Lock: true},
		"with TransparentHugePages":         {HugePages: TransparentHugePages},
	} {
		waits := what != "with Reserve"
		ops = append(ops, &operation{what: "Open " + what, prepare: fileOf(shortSize), populates: c.Populate, waits: waits,
			do: func(s *stage) error { return s.take(c.Open(s.name)) }})
		ops = append(ops, &operation{what: "Map " + what + " of a memory file", prepare: memFile, populates: c.Populate, waits: waits,
			do: func(s *stage) error { return s.take(c.Map(s.f)) }})
		c.Offset, c.Length = 0, 0
		if c.Mode == CopyOnWrite {
			continue
		}
		ops = append(ops, &operation{what: "Anonymous " + what, populates: c.Populate, waits: waits,
			prepare: func(s *stage) { s.name = "anonymous memory" },
			do:      func(s *stage) error { return s.take(c.Anonymous(int64(shortSize))) }})
	}
	return append(ops,
		&operation{what: "Anonymous with a large Reserve, where nothing is unmapped", waits: true,
			always:  map[string]unix.Errno{"munmap": unix.ENOMEM},
			prepare: func(s *stage) { s.name = "anonymous memory" },
			do:      func(s *stage) error { return s.take(Config{Reserve: largeReserve}.Anonymous(int64(shortSize))) }},
		&operation{what: "Open of an empty file", prepare: fileOf(0), waits: true,
			do: func(s *stage) error { return s.take(Open(s.name, ReadWrite)) }},
		&operation{what: "Open with Populate, without MADV_POPULATE", prepare: fileOf(shortSize), waits: true,
			always: map[string]unix.Errno{"madvise": unix.EINVAL},
			do:     func(s *stage) error { return s.take(Config{Populate: true}.Open(s.name)) }},
	)
}

// without are systems that lack something.
var without = map[string]map[string]unix.Errno{
	"":                                    nil,
	", without fallocate":                 {"fallocate": unix.EOPNOTSUPP},
	", without fallocate, before 5.14":    {"fallocate": unix.EOPNOTSUPP, "madvise": unix.EINVAL},
	", with signals that never let it be": {"fallocate": unix.EINTR},
}

func creations() (ops []*operation) {
	for what, c := range map[string]Config{
		"":                        {},
		" Sparse":                 {Sparse: true},
		" with Reserve":           {Reserve: int64(longSize)},
		" with a large Reserve":   {Reserve: largeReserve},
		" with Lock":              {Lock: true},
		" with Populate":          {Populate: true},
		" with Reserve and Lock":  {Reserve: int64(longSize), Lock: true},
		" with Offset and Length": {Offset: int64(pageBytes) + 1, Length: 50},
	} {
		for lacking, always := range without {
			for there, prepare := range map[string]func(s *stage){"": nothing, " over a file": fileOf(pageBytes + 5), " over a longer file": fileOf(longSize)} {
				// The more a case has in common with others, the less it is worth.
				plain := c == Config{} || c == Config{Lock: true}
				if !plain && (there != "" || lacking != "") || there != "" && lacking != "" {
					continue
				}
				populates := c.Populate || always["fallocate"] != 0
				ops = append(ops, &operation{what: "Create" + what + there + lacking, create: true, empties: true, waits: true,
					populates: populates, always: always, prepare: prepare,
					do: func(s *stage) error { return s.take(c.Create(s.name, int64(shortSize))) }})
				ops = append(ops, &operation{what: "OpenOrCreate" + what + there + lacking, create: true, waits: true,
					populates: populates, always: always, prepare: prepare,
					do: func(s *stage) error { return s.take(c.OpenOrCreate(s.name, int64(shortSize))) }})
			}
		}
	}
	return ops
}

// resize is an operation on the region of prepare.
func resize(what string, prepare func(s *stage), always map[string]unix.Errno, n int) *operation {
	return &operation{what: "Resize " + what, prepare: prepare, always: always, populates: always["fallocate"] != 0,
		do: func(s *stage) error { return s.r.Resize(int64(n)) }}
}

func resizes() (ops []*operation) {
	reserved := Config{Mode: ReadWrite, Reserve: int64(longSize)}
	for what, change := range map[string]func(c *Config){
		"":        func(c *Config) {},
		"sparse ": func(c *Config) { c.Sparse = true },
		"locked ": func(c *Config) { c.Lock = true },
	} {
		c := reserved
		change(&c)
		for lacking, always := range without {
			if c.Sparse && lacking != "" {
				continue
			}
			ops = append(ops, resize(what+"file up"+lacking, opened(c), always, longSize))
		}
		ops = append(ops, resize(what+"file up within a page", opened(c), nil, shortSize+100))
		ops = append(ops, resize(what+"file down", opened(c), nil, pageBytes+1))
		ops = append(ops, resize(what+"file to nothing", opened(c), nil, 0))
		ops = append(ops, resize(what+"file of Create up", createdBy(c, false), nil, longSize))
		w := c
		w.Offset, w.Length = int64(pageBytes)+10, 20
		ops = append(ops, resize(what+"window down", opened(w), nil, 0))
		ops = append(ops, resize(what+"window up", opened(w), nil, pageBytes))
		ops = append(ops, resize(what+"window up beyond the file", opened(w), nil, longSize-pageBytes))
		ops = append(ops, resize(what+"memory up", memoryOf(c), nil, longSize))
		ops = append(ops, resize(what+"memory down", memoryOf(c), nil, pageBytes+1))
		ops = append(ops, resize(what+"memory to nothing", memoryOf(c), nil, 0))
	}
	huge := reserved
	huge.HugePages = TransparentHugePages
	return append(ops,
		resize("memory with a hint for huge pages down", memoryOf(huge), nil, 10),
		resize("memory with a hint for huge pages up", memoryOf(huge), nil, longSize),
	)
}

// refreshed prepares a region of shortSize bytes whose file has n bytes by now.
func refreshed(c Config, n int) func(s *stage) {
	return func(s *stage) {
		opened(c)(s)
		if err := os.Truncate(s.name, int64(n)); err != nil {
			s.Fatal(err)
		}
	}
}

func others() (ops []*operation) {
	refresh := func(s *stage) error { return s.r.Refresh() }
	for mode := ReadOnly; mode <= CopyOnWrite; mode++ {
		for _, lock := range []bool{false, true} {
			c := Config{Mode: mode, Reserve: int64(longSize), Lock: lock}
			what := mode.String()
			if lock {
				what += " with Lock"
			}
			ops = append(ops, &operation{what: "Refresh up " + what, prepare: refreshed(c, longSize), do: refresh})
			c.Offset, c.Length = 10, 20
			ops = append(ops, &operation{what: "Refresh of a window up " + what, prepare: opened(c), do: refresh})
		}
	}
	protect := func(mode Mode) func(s *stage) error {
		return func(s *stage) error { return s.r.Protect(mode) }
	}
	protected := func(prepare func(s *stage)) func(s *stage) {
		return func(s *stage) {
			prepare(s)
			if err := s.r.Protect(ReadOnly); err != nil {
				s.Fatal(err)
			}
		}
	}
	stored := func(prepare func(s *stage)) func(s *stage) {
		return func(s *stage) {
			prepare(s)
			if _, err := s.r.WriteAt([]byte("stored"), 10); err != nil {
				s.Fatal(err)
			}
		}
	}
	grown := func(s *stage) {
		opened(Config{Mode: ReadWrite, Reserve: int64(longSize)})(s)
		if err := s.r.Resize(int64(longSize)); err != nil {
			s.Fatal(err)
		}
	}
	borrowed := func(s *stage) {
		memFile(s)
		s.keep(Config{Mode: ReadWrite, Reserve: int64(longSize)}.Map(s.f))
	}
	rw := opened(Config{Mode: ReadWrite})
	sync := func(s *stage) error { return s.r.Sync() }
	syncRange := func(s *stage) error { return s.r.SyncRange(10, 6) }
	populate := func(s *stage) error { return s.r.Populate(0, ToEnd) }
	wait := func(s *stage) error {
		v := wordsOf(s, s.r)
		ended, cancel := context.WithDeadline(context.Background(), time.Now())
		defer cancel()
		if err := v.Wait(&secondLook{Context: ended}, 1, v.Load(1)); err != context.DeadlineExceeded {
			return fmt.Errorf("it ends with %w", err)
		}
		return nil
	}
	wake := func(s *stage) error {
		n, err := wordsOf(s, s.r).Wake(1, 1)
		if err == nil && n != 0 {
			err = fmt.Errorf("it has woken %d", n)
		}
		return err
	}
	return append(ops,
		&operation{what: "Protect as ReadOnly", prepare: rw, do: protect(ReadOnly)},
		&operation{what: "Protect as ReadWrite", prepare: protected(rw), do: protect(ReadWrite)},
		&operation{what: "Protect memory", prepare: memoryOf(Config{Reserve: int64(longSize)}), do: protect(ReadOnly)},
		&operation{what: "Protect as CopyOnWrite", prepare: protected(opened(Config{Mode: CopyOnWrite})), do: protect(CopyOnWrite)},

		&operation{what: "Sync", prepare: stored(rw), do: sync, syncs: true},
		&operation{what: "SyncRange", prepare: stored(rw), do: syncRange, syncs: true},
		&operation{what: "SyncRange after Resize", prepare: stored(grown), do: syncRange, syncs: true},
		&operation{what: "SyncRange after Create", prepare: createdBy(Config{}, false), do: syncRange, syncs: true},
		&operation{what: "Sync after Create", prepare: createdBy(Config{}, false), do: sync, syncs: true},
		&operation{what: "Sync of a borrowed file", prepare: stored(borrowed), do: sync, syncs: true},
		&operation{what: "Flush", prepare: stored(rw), do: func(s *stage) error { return s.r.Flush(10, 6) }, syncs: true},

		&operation{what: "Populate", prepare: rw, do: populate, populates: true},
		&operation{what: "Populate through a view", prepare: rw, do: func(s *stage) error { return mustView[uint32](s.r).Populate() }, populates: true},
		&operation{what: "Populate memory", prepare: memoryOf(Config{}), do: populate, populates: true},
		&operation{what: "Lock", prepare: rw, do: func(s *stage) error { return s.r.Lock(5, 10) }},
		&operation{what: "Unlock", asked: "munlock", prepare: opened(Config{Mode: ReadWrite, Lock: true}), do: func(s *stage) error { return s.r.Unlock(5, 10) }},
		&operation{what: "Resident", asked: "mincore", prepare: rw, do: func(s *stage) error { _, err := s.r.Resident(5, 10); return err }},
		&operation{what: "Advise", asked: "madvise", prepare: rw, do: func(s *stage) error { return s.r.Advise(5, 10, WillNeed) }},
		&operation{what: "Wait", prepare: rw, do: wait},
		&operation{what: "Wait in memory", prepare: memoryOf(Config{}), do: wait},
		&operation{what: "Wake", prepare: rw, do: wake},
		&operation{what: "Resize a borrowed file", prepare: borrowed, do: func(s *stage) error { return s.r.Resize(int64(longSize)) }},
	)
}

// A secondLook is a context that is found to have ended the second time.
type secondLook struct {
	context.Context
	looks int
}

func (c *secondLook) Err() error {
	if c.looks++; c.looks == 1 {
		return nil
	}
	return c.Context.Err()
}

func closings() (ops []*operation) {
	closes := func(s *stage) error { return s.r.Close() }
	exposed := func(prepare func(s *stage)) func(s *stage) {
		return func(s *stage) {
			prepare(s)
			s.r.Bytes()
		}
	}
	for what, prepare := range map[string]func(s *stage){
		"a file":                                opened(Config{Mode: ReadWrite}),
		"an empty file":                         func(s *stage) { fileOf(0)(s); s.keep(Open(s.name, ReadOnly)) },
		"a file with Reserve":                   opened(Config{Mode: ReadWrite, Reserve: int64(longSize)}),
		"a locked file with Reserve":            opened(Config{Mode: ReadWrite, Reserve: int64(longSize), Lock: true}),
		"a created file":                        createdBy(Config{}, false),
		"a created file, synced":                createdBy(Config{}, true),
		"memory":                                memoryOf(Config{}),
		"memory with Reserve":                   memoryOf(Config{Reserve: int64(longSize)}),
		"memory with a large Reserve":           memoryOf(Config{Reserve: largeReserve}),
		"locked memory":                         memoryOf(Config{Lock: true, Reserve: int64(longSize)}),
		"memory that was handed out":            exposed(memoryOf(Config{Reserve: int64(longSize)})),
		"a copy on write with Reserve and Lock": opened(Config{Mode: CopyOnWrite, Reserve: int64(longSize), Lock: true}),
		"a memory file":                         func(s *stage) { memFile(s); s.keep(Map(s.f, ReadWrite)) },
	} {
		ops = append(ops, &operation{what: "Close " + what, prepare: prepare, closes: true, do: closes})
	}
	return ops
}
