// Package outside breaks the rule that a pure room has no I/O.
package outside

import (
	"fmt"
	"log"      // want imports log
	"log/slog" // want imports log/slog
	"net"      // want imports net
	"os"       // want imports os
	"runtime"  // want imports runtime
)

func tell() {
	fmt.Println("here") // want uses fmt.Println
	println("here")     // want uses the builtin println
	log.Print(os.Getpid(), runtime.NumCPU())
	slog.Info("here", "addr", net.IPv4zero)
}
