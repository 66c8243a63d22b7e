//go:build (unix && !aix) || windows

package mmap

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The program with which the README begins, as somebody would copy it.
func TestTheReadmesProgramPrints900(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it compiles a program")
	}
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Skipf("the source is not at hand: %v", err)
	}
	_, program, _ := strings.Cut(string(text), "```go\n")
	program, _, found := strings.Cut(program, "```")
	if !found {
		t.Fatal("the README has no program")
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "main.exe")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no Go tools: %v", err)
	}
	if out, err := exec.Command(tool, "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("it does not compile: %v\n%s", err, out)
	}
	run := exec.Command(binary)
	if runner := os.Getenv(runnerVariable); runner != "" {
		run = exec.Command(runner, binary)
	}
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil || string(out) != "900\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "log.txt")); err != nil || info.Size() != 4 {
		t.Errorf("it leaves %v, %v", info, err)
	}
}

// What a text of the repository points to is there.
func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	err := filepath.WalkDir(".", func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".md" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#\s,]+)[)#]`).FindAllStringSubmatch(string(text), -1) {
			if u, err := url.Parse(m[1]); err == nil && u.Host != "" {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s points to %s: %v", name, m[1], err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("README.md"); err != nil {
		t.Skipf("the source is not at hand: %v", err)
	}
	if links < 10 {
		t.Errorf("only %d links were found", links)
	}
}
