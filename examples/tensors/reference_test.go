package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The format's own implementation judges the same files. It needs Debian's packages:
//
//	TENSORS_REFERENCE=testdata/reference go test -run Reference -v ./examples/tensors
func needReference(t *testing.T) {
	t.Helper()
	needMapping(t)
	if os.Getenv("TENSORS_REFERENCE") == "" {
		t.Skip("TENSORS_REFERENCE does not say where the format's own implementation is: testdata/reference brings it")
	}
}

func reference(t *testing.T, args ...string) []byte {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(os.Getenv("TENSORS_REFERENCE"), args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.Bytes())
	}
	return out
}

func TestTheReferenceStillWritesTheFilesInTestdata(t *testing.T) {
	needReference(t)
	dir := t.TempDir()
	reference(t, "write", dir)
	for _, name := range []string{"every.safetensors", "every.json", "empty.safetensors", "empty.json"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the reference writes", name)
		}
	}
}

// Where this program accepts a file, the reference does, and both find the same in it.
// Where it refuses one, the reference does too, unless it is known to be lax.
func TestJudgesAsTheReference(t *testing.T) {
	needReference(t)
	dir := t.TempDir()
	var names []string
	lax := map[string]bool{}
	save := func(b []byte) string {
		name := filepath.Join(dir, fmt.Sprint(len(names)))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		return name
	}
	for _, c := range hostile {
		if strings.Contains(c.header, `"F4"`) || strings.Contains(c.header, `"F6`) {
			continue // the reference of Debian 13 is older than these types
		}
		lax[save(fileOf(c.header, c.data))] = c.lax
	}
	if err := writeSmallFile(filepath.Join(dir, "small")); err != nil {
		t.Fatal(err)
	}
	small, err := os.ReadFile(filepath.Join(dir, "small"))
	if err != nil {
		t.Fatal(err)
	}
	every, err := os.ReadFile(filepath.Join("testdata", "every.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	save(small)
	save(every)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		save(damaged(random, small))
		save(damaged(random, every))
	}

	var accepted, refused, laxer int
	answers := bufio.NewScanner(bytes.NewReader(reference(t, append([]string{"read"}, names...)...)))
	answers.Buffer(nil, 1<<20)
	for _, name := range names {
		var theirs contents
		if !answers.Scan() {
			t.Fatal("the reference gives too few answers")
		}
		if err := json.Unmarshal(answers.Bytes(), &theirs); err != nil {
			t.Fatal(err)
		}
		ours := contentsOf(name)
		switch {
		case ours.Refused != "" && theirs.Refused != "":
			refused++
			if lax[name] {
				t.Errorf("the reference refuses it too, %s: %s", theirs.Refused, ours.Refused)
			}
		case ours.Refused != "" && (lax[name] || strings.Contains(ours.Refused, "more than spaces")):
			laxer++
		case ours.Refused != "":
			t.Errorf("the reference accepts it, this program says %s", ours.Refused)
		case theirs.Refused != "":
			t.Errorf("the reference says %q, this program accepts %v", theirs.Refused, ours)
		case ours.String() != theirs.String():
			t.Errorf("this program reads\n%v\nthe reference\n%v", ours, theirs)
		default:
			accepted++
		}
	}
	if accepted < 100 || refused < 100 {
		t.Errorf("too few to tell: %d are accepted, %d refused", accepted, refused)
	}
	t.Logf("%d files: both accept %d, both refuse %d, only the reference accepts %d", len(names), accepted, refused, laxer)
}

// damaged returns a file of which some bytes of the header are others: digits become
// digits as a rule, so that it often stays one.
func damaged(random *rand.Rand, whole []byte) []byte {
	b := bytes.Clone(whole)
	header := b[8 : 8+binary.LittleEndian.Uint64(b)]
	for range 1 + random.IntN(2) {
		i := random.IntN(len(header))
		switch c := header[i]; {
		case c >= '0' && c <= '9':
			header[i] = '0' + byte(random.IntN(10))
		case random.IntN(2) == 0:
			header[i] = "{}[]:,\" -.0e\\u\n"[random.IntN(15)]
		case c >= 'a' && c <= 'z':
			header[i] = 'a' + byte(random.IntN(26))
		}
	}
	return b
}
