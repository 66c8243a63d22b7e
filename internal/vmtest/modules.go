package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Modules of a kernel tell in themselves which others they need, so no
// modules.dep has to be made.

// A module is ready to be loaded.
type module struct {
	name  string
	image []byte
}

// modulesIn finds the modules below a folder. The names are the kernel's, which
// has an underscore where a file may have a dash.
func modulesIn(dir string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, _, is := strings.Cut(filepath.Base(path), ".ko"); is {
			files[moduleName(name)] = path
		}
		return err
	})
	return files, err
}

func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// inOrder returns the wanted modules and those that they need, each after what it
// needs, and the names of those that the kernel does not have as modules: they are
// built in, or absent. load returns the image of a module, and what it needs.
func inOrder(wanted []string, load func(name string) (image []byte, needs []string, err error)) (order []module, none []string, err error) {
	seen := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		name = moduleName(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		image, needs, err := load(name)
		if err != nil {
			return err
		}
		if image == nil {
			none = append(none, name)
			return nil
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return err
			}
		}
		order = append(order, module{name, image})
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, nil, err
		}
	}
	return order, none, nil
}

// loadFrom is inOrder's load for the modules that files lists.
func loadFrom(files map[string]string) func(string) ([]byte, []string, error) {
	return func(name string) ([]byte, []string, error) {
		path, ok := files[name]
		if !ok {
			return nil, nil, nil
		}
		image, err := unpacked(path)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		needs, err := needs(image)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		return image, needs, nil
	}
}

func unpacked(path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".xz":
		return exec.Command("xz", "-dc", path).Output()
	case ".zst":
		return exec.Command("zstd", "-dcq", path).Output()
	}
	return os.ReadFile(path)
}

// needs reads which modules a module needs, in any order.
func needs(image []byte) ([]string, error) {
	object, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	section := object.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo: %w", fs.ErrNotExist)
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return needsOf(string(info)), nil
}

// needsOf finds depends=a,b among the strings of .modinfo, each of which ends with
// a zero byte.
func needsOf(info string) (needs []string) {
	for _, s := range strings.Split(info, "\x00") {
		if list, is := strings.CutPrefix(s, "depends="); is && list != "" {
			needs = append(needs, strings.Split(list, ",")...)
		}
	}
	return needs
}
