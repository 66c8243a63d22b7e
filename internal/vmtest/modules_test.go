package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModulesComeAfterThoseThatTheyNeed(t *testing.T) {
	needs := map[string]string{
		"ext4": "jbd2,mbcache", "jbd2": "", "mbcache": "", "virtio_blk": "virtio,virtio_ring",
		"virtio": "", "virtio_ring": "virtio", "nd_pmem": "libnvdimm", "libnvdimm": "ext4",
	}
	load := func(name string) ([]byte, []string, error) {
		list, ok := needs[name]
		switch {
		case name == "broken":
			return nil, nil, os.ErrInvalid
		case !ok:
			return nil, nil, nil
		}
		return []byte(name), needsOf("license=GPL\x00depends=" + list + "\x00name=" + name + "\x00"), nil
	}
	order, none, err := inOrder([]string{"virtio-blk", "absent", "ext4", "nd_pmem"}, load)
	var names []string
	for _, m := range order {
		if string(m.image) != m.name {
			t.Errorf("module %s has the image of %s", m.name, m.image)
		}
		names = append(names, m.name)
	}
	if d := cmp.Diff("virtio virtio_ring virtio_blk jbd2 mbcache ext4 libnvdimm nd_pmem", strings.Join(names, " ")); d != "" || err != nil {
		t.Error(d, err)
	}
	if len(none) != 1 || none[0] != "absent" {
		t.Errorf("not modules: %q", none)
	}
	if _, _, err := inOrder([]string{"ext4", "broken"}, load); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a module that cannot be read: %v", err)
	}
}

func TestModulesAreFoundByTheKernelsNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"fs/ext4/ext4.ko.xz", "drivers/nvdimm/nd-pmem.ko", "modules.order"} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := modulesIn(dir)
	want := map[string]string{"ext4": filepath.Join(dir, "fs/ext4/ext4.ko.xz"), "nd_pmem": filepath.Join(dir, "drivers/nvdimm/nd-pmem.ko")}
	if d := cmp.Diff(want, files); d != "" || err != nil {
		t.Error(d, err)
	}
}
