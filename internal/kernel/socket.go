package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

const (
	// answerBuffer holds an answer of a kilobyte to each message of a burst.
	answerBuffer = 4 << 20
	// newsBuffer is what may wait while Watch's receiver is busy.
	newsBuffer = 32 << 20
	// readSize is more than the kernel puts into one message of a dump.
	readSize = 64 << 10
)

// errInterrupted is the end of a dump that a change made useless.
var errInterrupted = errors.New("the tables change faster than they can be read")

// socket is a netlink socket.
type socket struct {
	fd  int
	pid uint32 // its address, which the kernel puts on news that it caused
}

func newSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot talk to the kernel's routing: %w", err)
	}
	s := &socket{fd: fd}
	if err := s.bind(0); err != nil {
		s.close()
		return nil, fmt.Errorf("cannot talk to the kernel's routing: %w", err)
	}
	return s, nil
}

// bind gives the socket its address, and news of groups, a mask of RTMGRP_….
func (s *socket) bind(groups uint32) error {
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: s.pid, Groups: groups}); err != nil {
		return err
	}
	addr, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	if a, ok := addr.(*unix.SockaddrNetlink); ok {
		s.pid = a.Pid
	}
	return nil
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// set turns options on. An older kernel that lacks them says less or gives
// more, and does the same.
func (s *socket) set(options ...int) {
	for _, o := range options {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, o, 1)
	}
}

// buffer asks for a size; without CAP_NET_ADMIN the system's limit holds.
func (s *socket) buffer(force, plain, size int) {
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, plain, size)
	}
}

func (s *socket) send(b []byte) error {
	for {
		err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return err
		}
	}
}

// receive reads what the kernel has sent, whole messages. It returns none where
// somebody else was the sender.
func (s *socket) receive(buf []byte) ([]byte, error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(s.fd, buf, nil, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, errors.New("a message of the kernel is larger than any should be")
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
			n = 0
		}
		return buf[:n], nil
	}
}

// dump sends a request and calls f for each message of the answer.
func dump(req []byte, f func(message) error) error {
	s, err := newSocket()
	if err != nil {
		return err
	}
	defer s.close()
	s.set(unix.NETLINK_GET_STRICT_CHK)
	if err := s.send(req); err != nil {
		return err
	}
	buf := make([]byte, readSize)
	interrupted := false
	for {
		b, err := s.receive(buf)
		if err != nil {
			return err
		}
		for m := range messages(b) {
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if errno := m.errno(); errno != 0 && errno != unix.ENOENT { // ENOENT: there is no such table
					return errno
				}
				if interrupted {
					return errInterrupted
				}
				return nil
			}
			if err := f(m); err != nil {
				return err
			}
		}
	}
}

// without makes the kernel keep to itself news about routes of a protocol that
// a socket of ours has caused: hundreds of thousands that nobody wants.
func (s *socket) without(protocol uint8, pid uint32) error {
	const (
		load  = unix.BPF_LD | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		give  = unix.BPF_RET | unix.BPF_K
	)
	prog := []unix.SockFilter{
		{Code: load | unix.BPF_H, K: 4}, // nlmsg_type
		{Code: equal, K: filtered16(unix.RTM_NEWROUTE), Jt: 1},
		{Code: equal, K: filtered16(unix.RTM_DELROUTE), Jf: 4},
		{Code: load | unix.BPF_B, K: unix.SizeofNlMsghdr + protocolAt},
		{Code: equal, K: uint32(protocol), Jf: 2},
		{Code: load | unix.BPF_W, K: 12}, // nlmsg_pid
		{Code: equal, K: filtered32(pid), Jt: 1},
		{Code: give, K: math.MaxUint32},
		{Code: give, K: 0},
	}
	return unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
}

// filtered16 is a number of the machine's byte order as a filter reads it.
func filtered16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}

func filtered32(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}
