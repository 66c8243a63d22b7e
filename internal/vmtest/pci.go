package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// pci stores to and loads from PCI devices through sysfs. Of a device with
// registers qemu notes each access: those, in this order, that the guest says it made,
// and no other. The memory of the other is a file, which has what the guest stored.
var pci = probe("pci", "registers and shared memory of PCI devices through sysfs, compared with what the devices saw",
	func(m machine) bool { return m.name == "amd64-6.12" || m.name == "arm64-6.12" },
	func(b *boot) {
		b.extra = append(b.extra, "-device", "edu",
			"-object", "memory-backend-file,id=shared,share=on,size=1M,mem-path="+b.file("shared"),
			"-device", "ivshmem-plain,memdev=shared")
		b.extra = append(b.extra, noteAccesses(b.file("trace"))...)
	}).checked(func(b *boot, g *guest) error {
	said := saidAccesses(g.lines["pci"])
	seen, err := seenAccesses(b.file("trace"), plan.Registers)
	if err != nil {
		return err
	}
	if err := sameAccesses(said[plan.Registers], seen); err != nil {
		return err
	}
	shared, err := os.ReadFile(b.file("shared"))
	if err != nil {
		return err
	}
	return hasStores(shared, said[plan.SharedMemory])
})

// hasStores says which store is not in memory.
func hasStores(memory []byte, stores []plan.Access) error {
	if len(stores) == 0 {
		return fmt.Errorf("the guest stored nothing to shared memory")
	}
	for _, s := range stores {
		if s.Size != 8 || s.At+8 > uint64(len(memory)) {
			return fmt.Errorf("%s: %v: the memory has %d bytes, and 8 are a word", s.Step, s, len(memory))
		}
		if got := binary.LittleEndian.Uint64(memory[s.At:]); got != s.Value {
			return fmt.Errorf("%s: %v: the host finds %#x", s.Step, s, got)
		}
	}
	return nil
}
