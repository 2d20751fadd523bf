// Runs a row of the trees with Go's errgroup, where each child is a goroutine that adds its own with
// Go. Arguments: row, children, iterations. It prints the nanoseconds that they took, the allocations,
// and the bytes taken from the system.
package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	row, n, iters := os.Args[1], number(os.Args[2]), number(os.Args[3])
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for i := int64(0); i < iters; i++ {
		run(row, n)
	}
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	fmt.Println(elapsed.Nanoseconds(), after.Mallocs-before.Mallocs, after.Sys-before.Sys)
}

func number(argument string) int64 {
	n, err := strconv.ParseInt(argument, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// A tree: child i adds those whose numbers follow from its own.
type tree struct {
	row   string
	n     int64
	ran   int64
	group errgroup.Group
	// What the first child waits for in tree_wait.
	others chan struct{}
}

func run(row string, n int64) {
	t := &tree{row: row, n: n, others: make(chan struct{})}
	t.add(0)
	if err := t.group.Wait(); err != nil {
		panic(err)
	}
	if t.ran != n {
		panic(fmt.Sprintf("%d of %d children ran", t.ran, n))
	}
}

func (t *tree) add(id int64) {
	t.group.Go(func() error { return t.child(id) })
}

func (t *tree) child(id int64) error {
	first, count := 2*id+1, int64(2)
	switch t.row {
	case "tree_binary", "tree_wait":
	case "tree_yield":
		runtime.Gosched()
	case "tree_deep":
		first, count = id+1, 1
	case "tree_wide":
		first, count = 1, 0
		if id == 0 {
			count = t.n - 1
		}
	default:
		panic(t.row)
	}
	for next := first; next < first+count && next < t.n; next++ {
		t.add(next)
	}
	if t.row == "tree_wait" && id == 0 && t.n > 1 {
		<-t.others
	}
	if ran := atomic.AddInt64(&t.ran, 1); ran == t.n-1 && t.row == "tree_wait" {
		close(t.others)
	}
	// No child has this number, but no compiler may know that children never fail.
	if id == math.MaxInt64 {
		return fmt.Errorf("child %d failed", id)
	}
	return nil
}
