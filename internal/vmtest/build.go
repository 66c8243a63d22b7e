package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// A builder makes what goes into the guests, in a folder. One thing at a time: the
// machines share what is made.
type builder struct {
	mu   sync.Mutex
	ctx  context.Context
	root string // of the module
	dir  string
}

func newBuilder(ctx context.Context, dir string) (*builder, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	return &builder{ctx: ctx, root: strings.TrimSpace(string(out)), dir: dir}, nil
}

// A program is what the go command makes of a package with a verb: "build", or
// "test -c" for its tests.
type program struct{ verb, pkg string }

// compile makes a program for a processor, and returns its file.
func (b *builder) compile(goArch string, p program) (string, error) {
	file := filepath.Join(b.dir, strings.NewReplacer("/", "-", ".", "", " ", "-").Replace(goArch+"-"+p.verb+"-"+p.pkg))
	if _, err := os.Stat(file); err == nil {
		return file, nil // made for another machine
	}
	args := append(strings.Fields(p.verb), "-o", file, p.pkg)
	cmd := exec.CommandContext(b.ctx, "go", args...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goArch, "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v for %s: %w\n%s", cmd, goArch, err, out)
	}
	return file, nil
}

// An ext4Image is a file system that a test makes with mkfs.ext4, which is not there
// in a guest.
type ext4Image struct {
	flags []string
	size  int64
}

var images = []ext4Image{
	{[]string{"-q"}, 16 << 20},
	{[]string{"-q", "-O", "^has_journal"}, 32 << 20},
}

func (b *builder) packedImage(flags []string, size int64) ([]byte, error) {
	name := filepath.Join(b.dir, "image")
	if err := newDisk(b.ctx, name, "ext4", size, flags...); err != nil {
		return nil, err
	}
	contents, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	w.Write(contents)
	err = w.Close()
	return packed.Bytes(), err
}

// initramfs writes the first root file system of a boot: init, the plan, modules of
// the kernel, and programs, whose packages are listed by their names in the guest.
func (b *builder) initramfs(name, goArch string, p plan.Plan, modules []module, images []ext4Image, programs map[string]program) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	a := newArchive(w)
	for _, dir := range []string{"/dev", "/proc", "/sys", "/tmp", "/data"} {
		a.dir(dir)
	}
	programs = maps.Clone(programs)
	programs["/init"] = program{"build", "./internal/vmtest/init"}
	for in, from := range programs {
		file, err := b.compile(goArch, from)
		if err != nil {
			return err
		}
		contents, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		a.file(in, 0o755, contents)
	}
	for _, tool := range []string{"true", "mkfs.ext4", "mount"} {
		a.link("/bin/"+tool, "/init")
	}
	for _, image := range images {
		packed, err := b.packedImage(image.flags, image.size)
		if err != nil {
			return err
		}
		a.file(plan.Image(image.flags, image.size), 0o644, packed)
	}
	for _, m := range modules {
		a.file("/modules/"+m.name, 0o644, m.image)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	a.file(plan.File, 0o644, text)
	return errors.Join(a.close(), w.Flush(), f.Close())
}
