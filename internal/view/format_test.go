package view_test

import (
	"testing"
	"time"

	"holdfast/internal/view"
)

func TestFormats(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m00s",
		12*time.Minute + 7*time.Second: "12m07s", time.Hour: "1h00m", 24*time.Hour - 1: "23h59m",
		76 * time.Hour: "3d04h", 400 * 24 * time.Hour: "400d00h",
	} {
		if got := view.Duration(d); got != want {
			t.Errorf("Duration(%v) = %s, want %s", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 100000: "100,000"} {
		if got := view.Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1048524: "1023.9 KiB", 1048570: "1.0 MiB", 5 << 30: "5.0 GiB", 3 << 50: "3072.0 TiB",
	} {
		if got := view.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}
