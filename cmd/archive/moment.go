package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// atFlag reads a moment of a flag. Local times are refused: the archive's own clock is what counts, and nobody knows whose wall it is.
func atFlag(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %s: a time with its zone is wanted, as 2026-11-20T14:05:00Z or 2026-11-20T15:05:00+01:00", flag, text)
	}
	return at, nil
}

// stamp is how a time is shown; the zero time is shown as nothing.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// byteSize reads a size of a flag: plain bytes, or with KiB, MiB or GiB.
func byteSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = n, u
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%s: a size is wanted, such as 64MiB or 500000", text)
	}
	return n * unit, nil
}

// byteCount is a size for people.
func byteCount(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n), "kMGTPE"
	i := -1
	for value >= unit && i < len(names)-1 {
		value /= unit
		i++
	}
	return fmt.Sprintf("%.1f %cB", value, names[i])
}

// count is a number of things, with the word for one of them.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
