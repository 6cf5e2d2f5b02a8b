package bfd

import (
	"errors"
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSetAfterClose: who is late writes to no file of others, which have the
// number of ours now.
func TestSetAfterClose(t *testing.T) {
	d, err := NewDriver(slog.New(slog.DiscardHandler), func(Change) {})
	if err != nil {
		t.Fatal(err)
	}
	wake := d.wake
	d.Close()
	other, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if err := unix.Dup3(other, wake, unix.O_CLOEXEC); other != wake && err != nil {
		t.Fatal(err)
	}
	d.Set([]Session{{Name: "late"}})
	var b [8]byte
	if _, err := unix.Read(other, b[:]); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("somebody else's file has % x (%v)", b, err)
	}
	if other != wake {
		_ = unix.Close(wake)
	}
}

// TestReceiveOfOthers: what is read is a port of ours, and not a socket that has
// its number now.
func TestReceiveOfOthers(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if _, err := unix.Write(pair[0], []byte("BGP")); err != nil {
		t.Fatal(err)
	}
	newThread(&Driver{}).receive(pair[1])
	var b [8]byte
	if n, err := unix.Read(pair[1], b[:]); string(b[:max(n, 0)]) != "BGP" {
		t.Errorf("%q is left (%v)", b[:max(n, 0)], err)
	}
}
