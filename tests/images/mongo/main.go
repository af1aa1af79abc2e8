// Command mongod stands in for MongoDB's server: FerretDB's engine on SQLite
// files, behind those of mongod's options that the workshop uses.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// A client that keeps its connection open must not keep mongod from stopping.
const secondsToStop = 1

type options struct {
	data    string
	address string
	port    int
	quiet   bool
}

func main() {
	chosen := parse(os.Args[1:])
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	if err := serve(chosen, logger); err != nil {
		logger.Error("mongod ends", "error", err.Error())
		os.Exit(1)
	}
}

// parse ends the program where mongod would: after --help, --version, or an
// option that it does not know.
func parse(arguments []string) options {
	flags := flag.NewFlagSet("mongod", flag.ExitOnError)
	data := flags.String("dbpath", "/data/db", "directory of the data")
	port := flags.Int("port", 27017, "TCP port to listen on")
	bind := flags.String("bind_ip", "0.0.0.0", "address to listen on")
	everywhere := flags.Bool("bind_ip_all", false, "listen on all addresses")
	quiet := flags.Bool("quiet", false, "tell problems only")
	version := flags.Bool("version", false, "tell what this is")
	_ = flags.Parse(arguments)
	if *version {
		fmt.Println("mongod: a stand-in for MongoDB 7.0, made of FerretDB 1.24 and SQLite")
		os.Exit(0)
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mongod: what is %q?\n", flags.Arg(0))
		os.Exit(2)
	}
	if *everywhere {
		*bind = "0.0.0.0"
	}
	return options{*data, *bind, *port, *quiet}
}

// serve answers clients until the process is told to stop.
func serve(chosen options, logger *slog.Logger) error {
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// What FerretDB says of each connection is of interest to its makers only.
	problems := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelError})
	engine, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: net.JoinHostPort(chosen.address, strconv.Itoa(chosen.port))},
		Logger:    slog.New(problems),
		Handler:   "sqlite",
		SQLiteURL: "file:" + chosen.data + "/",
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(told) }()
	if !chosen.quiet {
		// The engine has its address as soon as it listens.
		engine.MongoDBURI()
		logger.Info("Waiting for connections", "port", chosen.port, "dbPath", chosen.data)
	}
	select {
	case err = <-ended:
		return err
	case <-told.Done():
		logger.Info("Received a signal to stop, shutting down")
	}
	select {
	case err = <-ended:
		return err
	case <-time.After(secondsToStop * time.Second):
		return nil
	}
}
