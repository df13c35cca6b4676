package faults

import (
	"math"
	"testing"
)

func TestSlope(t *testing.T) {
	tests := []struct {
		name   string
		values func(i int) float64
		want   float64 // per 100 values
	}{
		{"flat", func(int) float64 { return 5 }, 0},
		{"flat with teeth", func(i int) float64 { return 5 + float64(i%2) }, 0},
		{"doubles", func(i int) float64 { return 100 + float64(i) }, 100 / 149.5},
		{"falls", func(i int) float64 { return 100 - float64(i)/2 }, -50 / 75.25},
	}
	for _, test := range tests {
		var values []float64
		for i := range 100 {
			values = append(values, test.values(i))
		}
		if got := slopePer(values, 100); math.Abs(got-test.want) > 0.01 {
			t.Errorf("%s: got %.4f, want %.4f", test.name, got, test.want)
		}
	}
}
