package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// get begins to get what a server has, as a client does.
func get(t *testing.T, where, what string) (*flight.Reader, error) {
	t.Helper()
	c, err := flight.NewClientWithMiddleware(where, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	stream, err := c.DoGet(ctx, &flight.Ticket{Ticket: []byte(what)})
	if err != nil {
		t.Fatal(err)
	}
	return flight.NewRecordReader(stream)
}

func TestHasNothingElse(t *testing.T) {
	where, stop, err := serve("127.0.0.1:0", open(t, newFolder(t, 5)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, what := range []string{"", "column", "../secret", "\xff\x00"} {
		if _, err := get(t, where, what); status.Code(err) != codes.NotFound {
			t.Errorf("%q: %v", what, err)
		}
	}
}

// The rows are more than gRPC takes ahead of a client that does not read. So the file
// is truncated in the middle of the call.
func TestATruncationIsTheClientsErrorAndTheServerGoesOn(t *testing.T) {
	needTruncation(t)
	const rows = 2 << 20
	for _, left := range []int64{rows*8 - 1, rows * 4, 100, 0} {
		folder := newFolder(t, rows)
		batch := open(t, folder)
		where, stop, err := serve("127.0.0.1:0", batch)
		if err != nil {
			t.Fatal(err)
		}
		reader, err := get(t, where, ticket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Read(); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(folder, "a.int64")
		if err := os.Truncate(name, left); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = reader.Read()
		}
		if status.Code(err) != codes.DataLoss || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "truncated") {
			t.Errorf("truncated to %d bytes: the client gets %v", left, err)
		}
		if _, err := get(t, where, "x"); status.Code(err) != codes.NotFound {
			t.Errorf("truncated to %d bytes: then the server says %v", left, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheServerKeepsTheRegions(t *testing.T) {
	folder := newFolder(t, 1000)
	batch, err := openColumns(folder)
	if err != nil {
		t.Fatal(err)
	}
	r := regionOf(batch.Column(0))
	where, stop, err := serve("127.0.0.1:0", batch)
	if err != nil {
		t.Fatal(err)
	}
	batch.Release()
	other, err := openColumns(folder)
	if err != nil {
		t.Fatal(err)
	}
	its := regionOf(other.Column(0))
	if err := checkServer(t.Context(), where, other); err != nil {
		t.Error(err)
	}
	if other.Release(); its.Len() != 0 {
		t.Error("the client's check keeps the region that it compares with")
	}
	if err := stop(); err != nil || r.Len() != 0 {
		t.Errorf("after stop: %v, and the region has %d bytes", err, r.Len())
	}
}

func TestServesUntilItIsInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows interrupts no single process")
	}
	folder := newFolder(t, 1000)
	cmd := exec.Command(os.Args[0], "-folder", folder, "-serve", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	_, where, _ := strings.Cut(strings.TrimSpace(line), "grpc://")
	if err != nil || where == "" {
		t.Fatalf("it says %q, %v", line, err)
	}
	if err := checkServer(t.Context(), where, open(t, folder)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ends with %v", err)
	}
}
