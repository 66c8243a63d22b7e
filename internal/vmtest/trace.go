package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// Qemu notes accesses to memory that is no RAM: which device, where, how wide, and
// the value. So it can be compared what a program meant to do to a device, and what
// was done.

// noteAccesses are qemu's arguments for that.
func noteAccesses(file string) []string {
	return []string{"-d", "guest_errors,trace:memory_region_ops_read,trace:memory_region_ops_write", "-D", file}
}

var (
	accessNote  = regexp.MustCompile(`memory_region_ops_(read|write) cpu -?\d+ mr 0x[0-9a-f]+ addr (0x[0-9a-f]+) value (0x[0-9a-f]+) size (\d+) name '([^']*)'`)
	accessError = regexp.MustCompile(`^Invalid (read|write) at addr (0x[0-9A-Fa-f]+), size (\d+), region '([^']*)', reason: (.*)`)
)

// seenAccesses reads the accesses to a device's memory. One that the device refused
// has the reason as its step, and its address is counted from the memory's first byte.
func seenAccesses(file, device string) (seen []plan.Access, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if refused := accessError.FindStringSubmatch(lines.Text()); refused != nil && refused[4] == device {
			a := plan.Access{Step: "refused: " + refused[5], Device: device, Store: refused[1] == "write"}
			a.At, _ = strconv.ParseUint(refused[2], 0, 64)
			a.Size, _ = strconv.Atoi(refused[3])
			seen = append(seen, a)
		}
		note := accessNote.FindStringSubmatch(lines.Text())
		if note == nil || note[5] != device {
			continue
		}
		a := plan.Access{Device: device, Store: note[1] == "write"}
		a.At, _ = strconv.ParseUint(note[2], 0, 64)
		a.Value, _ = strconv.ParseUint(note[3], 0, 64)
		a.Size, _ = strconv.Atoi(note[4])
		seen = append(seen, a)
	}
	return seen, lines.Err()
}

// saidAccesses finds the accesses that a guest printed, by devices.
func saidAccesses(lines []string) map[string][]plan.Access {
	said := make(map[string][]plan.Access)
	for _, line := range lines {
		if a, ok := plan.ParseAccess(line); ok {
			said[a.Device] = append(said[a.Device], a)
		}
	}
	return said
}

// sameAccesses says where what a device saw is not what the guest said.
func sameAccesses(said, seen []plan.Access) error {
	if len(said) == 0 {
		return fmt.Errorf("the guest said nothing of accesses")
	}
	is := func(a plan.Access, i int) bool {
		if i == len(seen) {
			return false
		}
		a.Step, a.Again = "", false
		return a == seen[i]
	}
	at, before := 0, "the begin"
	for _, a := range said {
		if !is(a, at) {
			got := "no more"
			if at < len(seen) {
				got = seenAs(seen[at])
			}
			return fmt.Errorf("%s: %v, said the guest; the device saw %s (access %d, after %s)", a.Step, a, got, at, before)
		}
		for at++; a.Again && is(a, at); at++ {
		}
		before = a.Step
	}
	if at < len(seen) {
		return fmt.Errorf("the device saw %s (access %d, after %s), which nobody asked for", seenAs(seen[at]), at, before)
	}
	return nil
}

// seenAs says which access a device saw.
func seenAs(a plan.Access) string {
	if a.Step == "" {
		return a.String()
	}
	return a.String() + ", " + a.Step
}

// stored returns the n bytes at an address that a device was given last, zeros where
// it was given none.
func stored(seen []plan.Access, at uint64, n int) string {
	memory := make([]byte, n)
	for _, a := range seen {
		for i := range uint64(a.Size) {
			if off := a.At + i - at; a.Store && off < uint64(n) {
				memory[off] = byte(a.Value >> (8 * i))
			}
		}
	}
	return string(memory)
}
