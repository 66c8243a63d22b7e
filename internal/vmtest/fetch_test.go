package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheKernelThatAPackageLeadsTo(t *testing.T) {
	const about = "Package: linux-image-amd64\nProvides: linux-latest-modules-6.12.9-amd64\nDepends: linux-base, linux-image-6.12.9+deb13-amd64 (= 6.12.9-1), x\n"
	if got, err := kernelOf(about); got != "linux-image-6.12.9+deb13-amd64" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := kernelOf("Package: x\nDepends: libc6\n"); err == nil {
		t.Errorf("no kernel, but %q", got)
	}
}

func TestPackagesComeFromWhereThisSystemHasItsOwn(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "http://deb.debian.org/debian",
		"deb http://near/debian stable main": "http://near/debian",
		"# comment\ndeb [arch=amd64 signed-by=/k] https://near/debian/ stable main": "https://near/debian",
		"Types: deb\nURIs: http://near/debian/\nSuites: stable":                     "http://near/debian",
		"deb http://near/debian-security stable main":                               "http://deb.debian.org/debian",
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		name := "sources.list"
		if strings.HasPrefix(text, "Types") {
			name = "sources.list.d/debian.sources"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := mirror(dir); got != want {
			t.Errorf("mirror of %q is %q, want %q", text, got, want)
		}
	}
}

func TestMachinesAndJobsAreChosenByName(t *testing.T) {
	nameOf := func(m machine) string { return m.name }
	if got, err := choose(machines, "", nameOf); len(got) != len(machines) || err != nil {
		t.Errorf("all: %v, %v", got, err)
	}
	if got, err := choose(machines, "s390x-6.1,amd64-5.10", nameOf); err != nil || len(got) != 2 || got[0].name != "s390x-6.1" || got[1].name != "amd64-5.10" {
		t.Errorf("two: %v, %v", got, err)
	}
	if _, err := choose(machines, "s390x-6.1,vax", nameOf); err == nil || !strings.Contains(err.Error(), "vax") {
		t.Errorf("one that there is not: %v", err)
	}
}
