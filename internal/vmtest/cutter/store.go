//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// Store: examples/records, a program that a user could have, in a process of its own.
// A state is a batch of records. After a loss of power its index and checksums are
// right, and a batch is there as a whole or not at all.
const (
	storeName  = "store.rec"
	storeBatch = 10
)

// storeProgram is where the program is.
var storeProgram = "/records"

// records runs the program to its end.
func records(args ...string) (string, error) {
	cmd := exec.Command(storeProgram, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return string(out), err
}

// endInsert ends the program that inserts. A store has one writer at a time.
var endInsert = func() {}

// startInsert starts the program. It returns its input, and what waits until the program
// reports how many records there are.
func startInsert(args ...string) (in io.WriteCloser, reported func() (int, error), err error) {
	endInsert()
	cmd := exec.Command(storeProgram, args...)
	cmd.Stderr = os.Stderr
	if in, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, nil, err
	}
	endInsert = func() { in.Close(); cmd.Wait() }
	lines := bufio.NewReader(out)
	return in, func() (n int, err error) {
		line, err := lines.ReadString('\n')
		if err == nil {
			_, err = fmt.Sscanf(line, "%d records are", &n)
		}
		return n, err
	}, nil
}

// storeLine is what is stored under a key: the keys are 1, 2, and so on.
func storeLine(key int) string { return fmt.Sprintf("%d %g", key, float64(key)*1.5) }

func checkStore(dir string, n int) (missing int, what string) {
	name := filepath.Join(dir, storeName)
	out, err := records("verify", name)
	if err != nil {
		return 1, err.Error()
	}
	var have int
	if _, err := fmt.Sscanf(out, "%d records are as they were stored", &have); err != nil {
		return 1, out
	}
	if have != n*storeBatch && have != (n+1)*storeBatch {
		return max(1, n-have/storeBatch), fmt.Sprintf("there are %d records, want %d, or %d, which was next", have, n*storeBatch, (n+1)*storeBatch)
	}
	args := []string{"lookup", name}
	for key := 1; key <= have; key++ {
		args = append(args, fmt.Sprint(key))
	}
	if out, err = records(args...); err != nil {
		return 1, err.Error()
	}
	key := 0
	for line := range strings.Lines(out) {
		if key++; !strings.HasPrefix(line, storeLine(key)+" ") {
			return 1, fmt.Sprintf("record %d is %q", key, line)
		}
	}
	if key != have {
		return 1, fmt.Sprintf("%d of %d records were looked up", key, have)
	}
	return 0, ""
}

func openStore(dir string, n int, m mode) (func(int) error, error) {
	name := filepath.Join(dir, storeName)
	if n == 0 && m != plan.Sync {
		// What the cut has left was never made durable, and may be wrong.
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	in, reported, err := startInsert(fmt.Sprintf("-sync=%v", m == plan.Sync), "insert", name)
	if err != nil {
		return nil, err
	}
	have, err := reported()
	return func(n int) error {
		if have >= n*storeBatch {
			return nil // it was not acknowledged, and is there
		}
		var lines strings.Builder
		for key := have + 1; key <= n*storeBatch; key++ {
			fmt.Fprintln(&lines, storeLine(key))
		}
		if _, err := io.WriteString(in, lines.String()); err != nil {
			return err
		}
		var err error
		if have, err = reported(); err == nil && have != n*storeBatch {
			err = fmt.Errorf("there are %d records, want %d", have, n*storeBatch)
		}
		return err
	}, err
}
