package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are the units of a size, as left shifts of the number before them.
var units = map[string]uint{
	"": 0, "b": 0,
	"k": 10, "kb": 10, "ki": 10, "kib": 10,
	"m": 20, "mb": 20, "mi": 20, "mib": 20,
	"g": 30, "gb": 30, "gi": 30, "gib": 30,
}

// parseSize reads a number of bytes such as "65536" or "64KB", which are the same.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "bBkKmMgGiI ")
	shift, ok := units[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n > math.MaxInt64>>shift || n < math.MinInt64>>shift {
		return 0, errors.New("not a size")
	}
	return n << shift, nil
}

// size is a number of bytes from least to most, which may have a unit; most 0
// means no upper limit.
func size[T int | int64](p *T, least, most int64) value {
	want := fmt.Sprintf(`a number of bytes from %d to %d, such as 512 or "64KB"`, least, most)
	if most == 0 {
		want = fmt.Sprintf(`a number of bytes, at least %d, such as 512 or "64KB"`, least)
	}
	return value{want: want, number: true, unit: true, get: func() any { return *p }, set: func(s string) error {
		n, err := parseSize(s)
		if err != nil || n < least || most != 0 && n > most {
			return errWant
		}
		*p = T(n)
		return nil
	}}
}
