package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A display shows how far the work is: on a terminal in one line, which changes ten
// times a second, elsewhere in a new line twice a second.
type display struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (d *display) progress(done, all uint64, text string) {
	each := time.Second / 2
	if d.terminal {
		each = time.Second / 10
	}
	if time.Since(d.last) < each {
		return
	}
	d.last = time.Now()
	text = fmt.Sprintf("%3.0f%%  %s", 100*float64(done)/float64(max(all, 1)), text)
	if d.terminal {
		fmt.Fprintf(d.w, "\r%-78s", text)
	} else {
		fmt.Fprintln(d.w, text)
	}
}

// line prints a line that stays.
func (d *display) line(format string, args ...any) {
	d.clear()
	fmt.Fprintf(d.w, format+"\n", args...)
}

// clear makes the line of the terminal free for other text.
func (d *display) clear() {
	if d.terminal {
		fmt.Fprintf(d.w, "\r%78s\r", "")
	}
}
