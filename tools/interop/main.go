// Command interop checks a running log from outside, with code that is not ours: golang.org/x/mod/sumdb/{note,tlog} for checkpoints, tiles,
// records and trees, github.com/veraison/go-cose for COSE receipts, and RFC 9162's own algorithms for the roots of those.
//
// usage: interop -url http://127.0.0.1:7410 -vkey KEY
//
// It reads every tile and every entry, proves every record and every pair of heads, and asks for every receipt. The first thing that does not
// hold ends it with exit code 1 and one line; otherwise it prints how much it checked, as JSON. It trusts the key alone.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

// counts is what was checked.
type counts struct {
	Size              int64 `json:"size"`
	Heads             int   `json:"heads"`
	Tiles             int   `json:"tiles"`
	Records           int   `json:"records"`
	RecordProofs      int   `json:"record_proofs"`
	TreeProofs        int   `json:"tree_proofs"`
	ServedProofs      int   `json:"served_proofs"`
	Receipts          int   `json:"receipts"`
	CoseInclusions    int   `json:"cose_inclusions"`
	CoseConsistencies int   `json:"cose_consistencies"`
	Refused           int   `json:"refused"`
}

func main() {
	url := flag.String("url", "http://127.0.0.1:7410", "the public read API")
	vkey := flag.String("vkey", "", "the log's verification key")
	flag.Parse()
	if flag.NArg() != 0 || *vkey == "" {
		flag.Usage()
		os.Exit(2)
	}
	log, err := open(*url, *vkey)
	if err == nil {
		err = check(log)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(log.counts); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func check(log *site) error {
	for _, step := range []func(*site) error{checkRecords, checkTrees, checkServedProofs, checkReceipts, checkCose} {
		if err := step(log); err != nil {
			return err
		}
	}
	return nil
}
