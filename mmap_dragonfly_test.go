package mmap

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheLimitOfMappingsIsTheSystems(t *testing.T) {
	most, err := unix.SysctlUint32("vm.max_proc_mmap")
	if err != nil || most == 0 {
		t.Skipf("this system has no limit of mappings: %v", err)
	}
	if name, n := maxMappings(); name != "vm.max_proc_mmap" || uint32(n) != most {
		t.Errorf("%s is %d, want vm.max_proc_mmap, %d", name, n, most)
	}
}
