package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// A machine is a kernel of Debian, and how qemu emulates the computer for it.
type machine struct {
	name      string
	suite     string // of Debian
	pkg       string // the package that leads to the newest kernel
	debArch   string
	goArch    string
	fs        string   // that the tests' temporary files are on, unless -fs tells
	qemu      []string // program and arguments
	console   string
	emulator  string // Debian's package with the program
	rounds    string // MMAP_TEST_ROUNDS, a percentage, where it is emulated
	oneThread bool   // emulates all processors
}

// In two threads, qemu 7.2 lets a processor run into the int3 of code that the other
// has changed by now, and Linux 6.12 panics. In one, it makes an atomic operation of a
// load and a store, and memory that Linux 5.10 was to give huge pages gets small ones.

var machines = []machine{
	{"amd64-6.12", "trixie", "linux-image-amd64", "amd64", "amd64", "ext4",
		[]string{"qemu-system-x86_64", "-cpu", "max"}, "ttyS0", "qemu-system-x86", "2", true},
	{"amd64-5.10", "bullseye", "linux-image-cloud-amd64", "amd64", "amd64", "tmpfs",
		[]string{"qemu-system-x86_64", "-cpu", "max"}, "ttyS0", "qemu-system-x86", "2", false},
	{"arm64-6.12", "trixie", "linux-image-cloud-arm64", "arm64", "arm64", "tmpfs",
		[]string{"qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"}, "ttyAMA0", "qemu-system-arm", "2", false},
	{"arm64-6.12-16k", "trixie", "linux-image-arm64-16k", "arm64", "arm64", "ext4",
		[]string{"qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"}, "ttyAMA0", "qemu-system-arm", "2", false},
	{"ppc64le-6.1-64k", "bookworm", "linux-image-powerpc64le", "ppc64el", "ppc64le", "ext4",
		[]string{"qemu-system-ppc64", "-M", "pseries", "-cpu", "power9"}, "hvc0", "qemu-system-ppc", "2", false},
	{"s390x-6.1", "bookworm", "linux-image-s390x", "s390x", "s390x", "tmpfs",
		[]string{"qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max"}, "ttysclp0", "qemu-system-misc", "2", false},
}

// kvm says whether this computer may be able to run the machine itself. Whether it
// really can is seen when it does.
func (m *machine) kvm() bool {
	if m.goArch != runtime.GOARCH {
		return false
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	device.Close()
	return true
}

// have returns the kernel of the machine, if its emulator is there too.
func (m *machine) have(ctx context.Context, cache string) (kernel, error) {
	if err := m.haveEmulator(); err != nil {
		return kernel{}, err
	}
	return fetch(ctx, cache, *m)
}

// A kernel is what is in the cache for a machine.
type kernel struct {
	image   string
	modules string // folder
}

// kernelIn finds the parts of an unpacked package.
func kernelIn(dir string) (kernel, error) {
	images, _ := filepath.Glob(dir + "/boot/vmlinu[xz]-*")
	modules, _ := filepath.Glob(dir + "/lib/modules/*/kernel")
	usr, _ := filepath.Glob(dir + "/usr/lib/modules/*/kernel")
	modules = append(modules, usr...)
	if len(images) != 1 || len(modules) != 1 {
		return kernel{}, fmt.Errorf("%s has the kernels %q and the modules %q, want one of each", dir, images, modules)
	}
	return kernel{images[0], modules[0]}, nil
}
