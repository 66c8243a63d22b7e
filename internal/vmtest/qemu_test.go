package main

import (
	"slices"
	"strings"
	"testing"
)

func TestOnlyAnEmulatedMachineIsSparedRounds(t *testing.T) {
	for _, tt := range []struct {
		kvm     bool
		percent string // that the caller wants
		want    string
	}{
		{false, "", " MMAP_TEST_ROUNDS=2"},
		{true, "", ""},
		{false, "50", " MMAP_TEST_ROUNDS=50"},
		{true, "50", " MMAP_TEST_ROUNDS=50"},
	} {
		b := &boot{machine: machine{qemu: []string{"qemu", "-cpu", "max"}, console: "ttyS0", rounds: "2"}, percent: tt.percent}
		args := b.arguments(tt.kvm)
		line := args[slices.Index(args, "-append")+1]
		_, rounds, _ := strings.Cut(line, "rdinit=/init ")
		if rounds != tt.want || !strings.Contains(line, "console=ttyS0 ") || slices.Contains(args, "kvm") != tt.kvm {
			t.Errorf("KVM %v, %q: %q", tt.kvm, tt.percent, args)
		}
	}
}

func TestAMachineHasADiskOnlyIfItIsToHaveOne(t *testing.T) {
	for disk, want := range map[string]bool{"": false, "/tmp/disk": true} {
		b := &boot{machine: machine{qemu: []string{"qemu"}}, disk: disk}
		if got := slices.Contains(b.arguments(false), "-drive"); got != want {
			t.Errorf("disk %q: %v", disk, got)
		}
	}
}
