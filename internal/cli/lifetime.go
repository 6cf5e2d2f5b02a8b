package cli

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"holdfast/internal/view"
)

// lifetime is a flag that says how long something lasts: 90s, 1h30m or 3d. Not
// given, it is for as long as nobody says otherwise.
type lifetime time.Duration

func (l *lifetime) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

func (l *lifetime) Type() string { return "time" }

func (l *lifetime) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return valueError("a time like 90s, 10m, 2h or 3d")
	}
	*l = lifetime(d)
	return nil
}

func (l *lifetime) proto() *durationpb.Duration {
	if *l == 0 {
		return nil
	}
	return durationpb.New(time.Duration(*l))
}

// text is for the end of a sentence.
func (l *lifetime) text() string {
	if *l == 0 {
		return ""
	}
	return " for " + view.Duration(time.Duration(*l))
}
