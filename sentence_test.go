package mmap

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// wantSentence checks an error as wantErr does, and that it can be read without
// the source: it says whose it is and what was asked for, and its text is whole.
// With -v the tests list the texts that they met.
func wantSentence(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	wantErr(t, err, kind, words...)
	if err == nil {
		return
	}
	text := err.Error()
	var path *fs.PathError
	switch {
	case strings.Contains(text, "%!"), strings.Contains(text, "nil pointer"), strings.Contains(text, "  "), strings.HasSuffix(text, "."):
		t.Errorf("error %q is badly worded", text)
	case strings.Count(text, "mmap: ")-strings.Count(text, "(mmap: ") == 1 && strings.HasPrefix(text, "mmap: "):
	case errors.As(err, &path) && path == err && path.Op != "" && path.Path != "":
	default:
		t.Errorf("error %q names neither the package nor the system call", text)
	}
	if _, met := textsMet.LoadOrStore(digits.ReplaceAllString(text, "0"), nil); !met {
		t.Logf("error text: %s", text)
	}
}

// textsMet are those that were listed, with all numbers alike.
var textsMet sync.Map

var digits = regexp.MustCompile("[0-9a-f]+")
