package main

import (
	"os"
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

func TestASpareDiskIsKnownByItsKindAndLeftOutWhereItCannotBeMade(t *testing.T) {
	b := &boot{machine: machine{name: "m", qemu: []string{"qemu"}}, spare: []spare{{kind: "none"}, {kind: "sh"}}}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := os.WriteFile(dir+"/mkfs.sh", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	if err := b.addSpare(&builder{ctx: t.Context(), dir: dir}, &log); err != nil {
		t.Fatal(err)
	}
	args := strings.Join(b.arguments(false), " ")
	if !strings.Contains(args, "serial=sh") || strings.Contains(args, "serial=none") || !strings.Contains(log.String(), "no disk with none") {
		t.Errorf("%s\n%s", args, log.String())
	}
	b.discard()
	if files, _ := os.ReadDir(dir); len(files) != 1 { // mkfs
		t.Errorf("left behind: %v", files)
	}
}
