package mmap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// closedPart is a part whose every access faults, of a region that lives as long
// as the test.
func closedPart(t testing.TB) (*part, *Region) {
	r := open(t, tempFile(t, quiet(100)), ReadWrite)
	p := partOf(t, r, 40, 100)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return p, r
}

func TestGuardReturnsWhatTheFunctionReturns(t *testing.T) {
	mine := errors.New("mine")
	if err := Guard(func() error { return mine }); err != mine {
		t.Errorf("Guard returned %v", err)
	}
	if err := Guard(func() error { return nil }); err != nil {
		t.Errorf("Guard returned %v", err)
	}
}

func TestAFaultUnderNestedGuardsIsTheInnermosts(t *testing.T) {
	p, r := closedPart(t)
	name := r.o.mapping.name
	var inner error
	after := false
	outer := Guard(func() error {
		inner = Guard(func() error { p.view.Set(0, 1); return nil })
		after = true
		return nil
	})
	wantFault(t, "inner", inner, r, name, 40, ErrClosed)
	if outer != nil || !after {
		t.Errorf("the outer Guard returned %v; the function went on: %v", outer, after)
	}
	// The outer one guards again once the inner one has returned.
	outer = Guard(func() error {
		Guard(func() error { p.view.Set(0, 1); return nil })
		Guard(func() error { return nil })
		sinkInt += int64(p.slice[1])
		return nil
	})
	wantFault(t, "outer", outer, r, name, 44, ErrClosed)
	// A method that handles faults of its own is like an inner Guard.
	outer = Guard(func() error {
		if _, err := r.ReadAt(make([]byte, 8), 0); !errors.Is(err, ErrClosed) {
			t.Errorf("ReadAt: %v", err)
		}
		sinkInt += int64(p.slice[2])
		return nil
	})
	wantFault(t, "after ReadAt", outer, r, name, 48, ErrClosed)
}

func TestDeferredCallsRunAtAFault(t *testing.T) {
	p, r := closedPart(t)
	ran := false
	err := Guard(func() error {
		defer func() { ran = true }()
		p.view.Set(0, 1)
		return nil
	})
	if !ran {
		t.Error("the deferred call did not run")
	}
	wantFault(t, "with a deferred call", err, r, r.o.mapping.name, 40, ErrClosed)
}

func TestAFaultNamesNoRegionThatIsGone(t *testing.T) {
	name := tempFile(t, quiet(100))
	raw, m := func() ([]byte, *mapping) {
		r := open(noCleanup{t}, name, ReadWrite)
		defer r.Close()
		return r.Bytes(), r.o.mapping
	}()
	collectTill(t, func() bool { return m.owner.Value() == nil })
	err := Guard(func() error { raw[5] = 1; return nil })
	wantFault(t, "raw memory of a region that was collected", err, nil, name, 5, ErrClosed)
}

func TestPanicsThatAreNoFaultPassThroughGuard(t *testing.T) {
	type own struct{ x int }
	value := &own{1}
	mine := errors.New("mine")
	for _, want := range []any{value, mine, "text", 5} {
		if got := panicOf(func() { Guard(func() error { panic(want) }) }); got != want {
			t.Errorf("a panic with %v came out as %v", want, got)
		}
		got := panicOf(func() {
			Guard(func() error { return Guard(func() error { return Guard(func() error { panic(want) }) }) })
		})
		if got != want {
			t.Errorf("through three Guards a panic with %v came out as %v", want, got)
		}
	}
	var none *own
	got := panicOf(func() { Guard(func() error { sinkInt += int64(none.x); return nil }) })
	if e, ok := got.(runtime.Error); !ok || !strings.Contains(e.Error(), "nil pointer dereference") {
		t.Errorf("a nil pointer dereference came out as %v", got)
	}
	got = panicOf(func() { Guard(func() error { none.x = 1; return nil }) })
	if _, ok := got.(runtime.Error); !ok {
		t.Errorf("a store to a nil pointer came out as %v", got)
	}
	index := len(os.Args) + 100
	got = panicOf(func() { Guard(func() error { sinkString = os.Args[index]; return nil }) })
	if e, ok := got.(runtime.Error); !ok || !strings.Contains(e.Error(), "index out of range") {
		t.Errorf("an index out of range came out as %v", got)
	}
	// Misuse of a view is a panic, not a fault.
	r := open(t, tempFile(t, quiet(100)), ReadOnly)
	v, err := ViewOf[int32](r, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		do   func()
		kind error
	}{{func() { sinkInt += int64(v.At(4)) }, ErrRange}, {func() { v.Set(0, 1) }, ErrReadOnly}} {
		got := panicOf(func() { Guard(func() error { tt.do(); return nil }) })
		if err, ok := got.(error); !ok || !errors.Is(err, tt.kind) {
			t.Errorf("misuse came out as %v, want %v", got, tt.kind)
		}
	}
}

func TestAFaultInMemoryOfOthersPassesThroughGuard(t *testing.T) {
	needMappings(t)
	page := uintptr(os.Getpagesize())
	others, err := mapSpace(noFile, &request{hidden: true, private: true, page: page, size: page}) // which no region has
	if err != nil {
		t.Fatal(err)
	}
	defer others.unmap()
	b := others.from(0, page)
	got := panicOf(func() { Guard(func() error { sinkInt += int64(b[3]); return nil }) })
	f, ok := got.(interface{ Addr() uintptr })
	at := uintptr(unsafe.Pointer(&b[3]))
	if !ok || f.Addr() != at && (exactAddresses || f.Addr() != at-3) {
		t.Errorf("a fault at %#x came out as %v", at, got)
	}
}

//go:noinline
func panicsDeepInside(n int) {
	if n == 0 {
		panic(fmt.Errorf("value number %d", 77))
	}
	panicsDeepInside(n - 1)
}

//go:noinline
func dereferencesNil(p *part) { p.from++ }

var (
	childPanics = registerChild("a panic under Guard", func(t testing.TB, args []string) {
		Guard(func() error { return Guard(func() error { panicsDeepInside(3); return nil }) })
	})
	childNil = registerChild("a nil pointer under Guard", func(t testing.TB, args []string) {
		Guard(func() error { dereferencesNil(nil); return nil })
	})
	childUnguarded = registerChild("an access without Guard", func(t testing.TB, args []string) {
		p, _ := closedPart(t)
		if err := Guard(func() error { sinkInt += int64(p.slice[0]); return nil }); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		sinkInt += int64(p.slice[0])
	})
	childOtherGoroutine = registerChild("an access on another goroutine", func(t testing.TB, args []string) {
		p, _ := closedPart(t)
		done := make(chan struct{})
		Guard(func() error {
			go func() {
				defer close(done)
				sinkInt += int64(p.slice[0])
			}()
			<-done
			return nil
		})
	})
)

func TestACrashThroughGuardShowsWhereItBegan(t *testing.T) {
	for name, words := range map[string][]string{
		childPanics: {"value number 77", "panicsDeepInside", "guard_test.go"},
		childNil:    {"nil pointer dereference", "dereferencesNil", "guard_test.go"},
	} {
		out := crashChild(t, name)
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("the crash of %s does not show %q:\n%s", name, w, out)
			}
		}
	}
}

// Without this the tests of Guard would prove nothing.
func TestAnAccessAfterCloseWithoutGuardEndsTheProcess(t *testing.T) {
	for _, name := range []string{childUnguarded, childOtherGoroutine} {
		if out := crashChild(t, name); !strings.Contains(out, "unexpected fault address") {
			t.Errorf("the crash says:\n%s", shortened(out))
		}
	}
}

func TestGoexitPassesThroughGuard(t *testing.T) {
	var steps []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { steps = append(steps, fmt.Sprint("outermost, recover: ", recover())) }()
		Guard(func() error {
			defer func() { steps = append(steps, "inner") }()
			runtime.Goexit()
			return nil
		})
		steps = append(steps, "after Guard")
	}()
	<-done
	if want := []string{"inner", "outermost, recover: <nil>"}; !slices.Equal(steps, want) {
		t.Errorf("Goexit ran %q, want %q", steps, want)
	}
}

func TestGuardLeavesPanicOnFaultAsItWas(t *testing.T) {
	p, _ := closedPart(t)
	r, gone := anonymousRegion(t, 64), anonymousRegion(t, 64)
	b, missing := make([]byte, 64), gone.Bytes()
	gone.Close()
	v := mustView[byte](r)
	big, err := BigEndianOf[int32](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []bool{false, true} {
		for what, run := range map[string]func(){
			"success": func() { Guard(func() error { return nil }) },
			"error":   func() { Guard(func() error { return io.EOF }) },
			"fault":   func() { Guard(func() error { p.view.Set(0, 1); return nil }) },
			"panic":   func() { panicOf(func() { Guard(func() error { panic(1) }) }) },
			"nil":     func() { panicOf(func() { Guard(func() error { dereferencesNil(nil); return nil }) }) },
			"nested":  func() { Guard(func() error { return Guard(func() error { p.view.Set(0, 1); return nil }) }) },
			"changed": func() { Guard(func() error { debug.SetPanicOnFault(!state); return nil }) },
			"methods": func() { p.whole.Region().ReadAt(make([]byte, 1), 0); Get[int8](p.whole.Region(), 0) },

			"ReadAt":            func() { r.ReadAt(b[:8], 0) },
			"ReadAt, a fault":   func() { r.ReadAt(missing[:8], 0) },
			"WriteAt":           func() { r.WriteAt(b, 0) },
			"WriteAt, a fault":  func() { r.WriteAt(missing, 0) },
			"Get":               func() { Get[int32](r, 0) },
			"Put":               func() { Put(r, 0, int32(1)) },
			"CopyTo":            func() { v.CopyTo(b) },
			"CopyFrom, a fault": func() { v.CopyFrom(missing) },
			"in another order":  func() { big.CopyTo(make([]int32, 4)) },
			"Fill":              func() { v.Fill(1) },
		} {
			old := debug.SetPanicOnFault(state)
			run()
			if got := debug.SetPanicOnFault(old); got != state {
				t.Errorf("after %s with SetPanicOnFault(%v) it is %v", what, state, got)
			}
		}
		// Goexit ends the goroutine, but deferred calls of it still run.
		after := make(chan bool)
		go func() {
			defer func() { after <- debug.SetPanicOnFault(false) }()
			debug.SetPanicOnFault(state)
			Guard(func() error { runtime.Goexit(); return nil })
		}()
		if got := <-after; got != state {
			t.Errorf("after Goexit with SetPanicOnFault(%v) it is %v", state, got)
		}
	}
}

func TestGuardWithoutAFaultAllocatesNothing(t *testing.T) {
	r := open(t, tempFile(t, quiet(100)), ReadOnly)
	v, err := ViewOf[int32](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 8)
	for what, fn := range map[string]func(){
		"Guard":  func() { Guard(func() error { sinkInt += int64(v.At(3)); return nil }) },
		"ReadAt": func() { r.ReadAt(p, 5) },
		"Get":    func() { Get[int64](r, 3) },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}

func TestAFaultErrorOfTheCallersOwnHasAText(t *testing.T) {
	if got := (&FaultError{Offset: 3}).Error(); !strings.Contains(got, "offset 3") {
		t.Error(got)
	}
}
