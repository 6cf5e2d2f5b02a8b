package daemon

import (
	"bytes"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
)

// heapInUse is what Go objects take, those included that wait for the collector.
func heapInUse() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// resident is the memory of the process, of which the second number in
// /proc/self/statm counts the pages.
func resident() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("cannot measure the process: %w", err)
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("cannot measure the process: /proc/self/statm says %q", text)
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot measure the process: %w", err)
	}
	return pages * uint64(os.Getpagesize()), nil
}
