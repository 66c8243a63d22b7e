package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// Progress goes to the standard error: one line that changes if that is a terminal,
// and otherwise a line for each contest.
var terminal = term.IsTerminal(int(os.Stderr.Fd()))

// progress shows what is being done.
func progress(format string, args ...any) {
	if terminal {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
}

// finished says that a contest is over.
func finished(name string, start time.Time) {
	if !terminal {
		fmt.Fprintf(os.Stderr, "%s: %.1f s\n", name, time.Since(start).Seconds())
	}
}
