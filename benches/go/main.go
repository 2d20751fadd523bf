// Runs the trees of the benchmarks with Go's errgroup: each child is a goroutine that adds its own
// with Go. It answers one line for each line it reads: the nanoseconds that some iterations of a row
// took, and with "cost" the allocations and the bytes of one.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

type tree struct {
	row   string
	n     int64
	ran   int64
	group errgroup.Group
	// What the first child waits for in tree_wait.
	others chan struct{}
}

// What a child returns; none has the last number, but no compiler may know that it never fails.
var last = int64(-1)

type failed struct{}

func (failed) Error() string { return "failed" }

func main() {
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() {
		var what, row string
		var n, iters int64
		if _, err := fmt.Sscan(requests.Text(), &what, &row, &n, &iters); err != nil {
			panic(err)
		}
		// The garbage of the last request is not to be collected within this one.
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		for i := int64(0); i < iters; i++ {
			run(row, n)
		}
		elapsed := time.Since(start)
		runtime.ReadMemStats(&after)
		switch what {
		case "time":
			fmt.Println(elapsed.Nanoseconds())
		case "cost":
			fmt.Println(after.Mallocs-before.Mallocs, after.Sys-before.Sys)
		default:
			panic(what)
		}
	}
}

func run(row string, n int64) {
	t := &tree{row: row, n: n, others: make(chan struct{})}
	t.add(0)
	if err := t.group.Wait(); err != nil {
		panic(err)
	}
	if t.ran != n {
		panic(fmt.Sprintf("%d of %d ran", t.ran, n))
	}
}

func (t *tree) add(id int64) {
	t.group.Go(func() error { return t.child(id) })
}

func (t *tree) child(id int64) error {
	if t.row == "tree_yield" {
		runtime.Gosched()
	}
	first, count := 2*id+1, int64(2)
	switch t.row {
	case "tree_deep":
		first, count = id+1, 1
	case "tree_wide":
		first, count = 1, 0
		if id == 0 {
			count = t.n - 1
		}
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
	if id == last {
		return failed{}
	}
	return nil
}
