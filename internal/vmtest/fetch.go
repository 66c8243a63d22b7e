package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// errUnavailable is what a machine cannot be had for: a package or a program that
// is not here and cannot be fetched.
var errUnavailable = errors.New("not to be had here")

// fetch returns the kernel of a machine, which it brings to the cache the first
// time. To have a newer one, remove the machine's folder there.
func fetch(ctx context.Context, cache string, m machine) (kernel, error) {
	dir := filepath.Join(cache, m.name)
	if _, err := os.Stat(dir); err == nil {
		return kernelIn(dir)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return kernel{}, err
	}
	work, err := os.MkdirTemp(cache, "new.")
	if err != nil {
		return kernel{}, err
	}
	defer os.RemoveAll(work)
	a, err := newApt(ctx, filepath.Join(work, "apt"), m)
	if err != nil {
		return kernel{}, err
	}
	about, err := a.run("apt-cache", "show", "--no-all-versions", m.pkg+":"+m.debArch)
	if err != nil {
		return kernel{}, err
	}
	newest, err := kernelOf(about)
	if err != nil {
		return kernel{}, fmt.Errorf("%s: %w", m.pkg, err)
	}
	if _, err := a.run("apt-get", "download", "-q", newest+":"+m.debArch); err != nil {
		return kernel{}, err
	}
	packages, _ := filepath.Glob(filepath.Join(a.dir, "*.deb"))
	if len(packages) != 1 {
		return kernel{}, fmt.Errorf("apt-get download %s brought %q", newest, packages)
	}
	root := filepath.Join(work, "root")
	if _, err := a.run("dpkg-deb", "-x", packages[0], root); err != nil {
		return kernel{}, err
	}
	if _, err := kernelIn(root); err != nil {
		return kernel{}, err
	}
	if err := errors.Join(os.Chmod(root, 0o755), os.Rename(root, dir)); err != nil {
		return kernel{}, err
	}
	return kernelIn(dir)
}

var dependsOnKernel = regexp.MustCompile(`(?m)^Depends:.*?\b(linux-image-[0-9][^ ,]*)`)

// kernelOf reads the kernel that a package of the kind linux-image-amd64 leads to.
func kernelOf(about string) (string, error) {
	found := dependsOnKernel.FindStringSubmatch(about)
	if found == nil {
		return "", fmt.Errorf("leads to no kernel: %q", about)
	}
	return found[1], nil
}

// An apt has lists and a state of its own: it fetches packages of any Debian and
// processor, and leaves this system's as they are.
type apt struct {
	ctx context.Context
	dir string
}

func newApt(ctx context.Context, dir string, m machine) (*apt, error) {
	a := &apt{ctx, dir}
	for _, d := range []string{"etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	source := fmt.Sprintf("deb [arch=%s signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", m.debArch, mirror("/etc/apt"), m.suite)
	config := fmt.Sprintf(`Dir %[1]q; Dir::Etc %[2]q; Dir::State %[3]q; Dir::State::status %[4]q; Dir::Cache %[5]q;
APT::Architecture %[6]q; APT::Architectures { %[6]q; }; APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "2";
`, dir, dir+"/etc", dir+"/state", dir+"/status", dir+"/cache", m.debArch)
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "etc/sources.list"), []byte(source), 0o644),
		os.WriteFile(filepath.Join(dir, "apt.conf"), []byte(config), 0o644),
		os.WriteFile(filepath.Join(dir, "status"), nil, 0o644))
	if err != nil {
		return nil, err
	}
	_, err = a.run("apt-get", "update", "-q", "--error-on=any")
	return a, err
}

// run runs a program of apt's. If it fails, the machine cannot be had.
func (a *apt) run(program string, args ...string) (string, error) {
	cmd := exec.CommandContext(a.ctx, program, args...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w (%v)\n%s", program, strings.Join(args, " "), errUnavailable, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

var mirrorLine = regexp.MustCompile(`(?m)^(?:URIs:|deb(?: +\[.*\])?) +(http[^ ]*/debian)/?(?: .*)?$`)

// mirror is where this system has its packages of Debian from.
func mirror(etc string) string {
	files, _ := filepath.Glob(etc + "/sources.list.d/*")
	for _, name := range append(files, etc+"/sources.list") {
		b, _ := os.ReadFile(name)
		if found := mirrorLine.FindSubmatch(b); found != nil {
			return string(found[1])
		}
	}
	return "http://deb.debian.org/debian"
}
