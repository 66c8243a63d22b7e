package mmap

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRoundTrip sends 64 bytes to another process, which sends them back: through
// mapped memory with Wait and Wake, a pair of pipes, and a Unix socket.
func BenchmarkRoundTrip(b *testing.B) {
	b.Run("via=wait", func(b *testing.B) {
		name := tempFile(b, make([]byte, roundTripBytes))
		r := open(b, name, ReadWrite)
		p := startPuppet(b, childEchoMemory, name)
		p.want("ready")
		v := wordsOf(b, r)
		message, err := ViewOf[byte](r, going, 64)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := ViewOf[byte](r, coming, 64)
		if err != nil {
			b.Fatal(err)
		}
		var buf [64]byte
		for k := uint32(0); b.Loop(); k++ {
			message.CopyFrom(buf[:])
			if err := ring(v, 0, k+1); err != nil {
				b.Fatal(err)
			}
			if err := await(v, lineWords, k); err != nil {
				b.Fatal(err)
			}
			answer.CopyTo(buf[:])
		}
	})
	b.Run("via=pipe", func(b *testing.B) {
		cmd := childCommand(b, childEchoPipe)
		in, err := cmd.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		exchange(b, in, out)
		in.Close()
		cmd.Wait()
	})
	b.Run("via=socket", func(b *testing.B) {
		name := filepath.Join(b.TempDir(), "s")
		l, err := net.Listen("unix", name)
		if err != nil {
			b.Skipf("no Unix sockets: %v", err)
		}
		defer l.Close()
		ended := start(b, childEchoSocket, name)
		c, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		exchange(b, c, c)
		c.Close()
		<-ended
	})
}

// Where in the memory of two processes things are, each in a cache line of its own:
// word 0 counts what was sent, word lineWords what was sent back.
const (
	going          = 4 * 2 * lineWords
	coming         = 4 * 3 * lineWords
	roundTripBytes = 4 * 4 * lineWords
)

// exchange makes the round trips of a benchmark through a connection.
func exchange(b *testing.B, w io.Writer, r io.Reader) {
	var buf [64]byte
	for b.Loop() {
		if _, err := w.Write(buf[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r, buf[:]); err != nil {
			b.Fatal(err)
		}
	}
}

var childEchoMemory = registerChild("that sends memory back", func(t testing.TB, args []string) {
	r := open(t, args[0], ReadWrite)
	go func() { // the test ends it, or ends
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	v := wordsOf(t, r)
	message, err := ViewOf[byte](r, going, 64)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := ViewOf[byte](r, coming, 64)
	if err != nil {
		t.Fatal(err)
	}
	say(t, "ready")
	var buf [64]byte
	for k := uint32(0); ; k++ {
		if err := await(v, 0, k); err != nil {
			t.Fatal(err)
		}
		message.CopyTo(buf[:])
		answer.CopyFrom(buf[:])
		if err := ring(v, lineWords, k+1); err != nil {
			t.Fatal(err)
		}
	}
})

// echo sends back what comes, until nothing more does.
func echo(t testing.TB, w io.Writer, r io.Reader) {
	var buf [64]byte
	for {
		if _, err := io.ReadFull(r, buf[:]); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(buf[:]); err != nil {
			t.Fatal(err)
		}
	}
}

var childEchoPipe = registerChild("that sends through pipes", func(t testing.TB, args []string) { echo(t, os.Stdout, os.Stdin) })

var childEchoSocket = registerChild("that sends through a socket", func(t testing.TB, args []string) {
	c, err := net.Dial("unix", args[0])
	if err != nil {
		t.Fatal(err)
	}
	echo(t, c, c)
})
