package classify

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// functions are what hosts.sql calls: the tests of package keys have one definition, in Go.
var functions = map[string]function{
	"distance_chance": {
		[]duckdb.Type{duckdb.TYPE_UTINYINT}, duckdb.TYPE_DOUBLE,
		perRow(func(v []driver.Value) (any, error) { return keys.DistanceChance(int(v[0].(uint8))), nil }),
	},
	"bytes_kept": {
		[]duckdb.Type{duckdb.TYPE_UBIGINT, duckdb.TYPE_UBIGINT}, duckdb.TYPE_UTINYINT,
		perRow(func(v []driver.Value) (any, error) {
			return uint8(keys.BytesKept(v[0].(uint64), v[1].(uint64))), nil
		}),
	},
	"rearranged": {
		[]duckdb.Type{duckdb.TYPE_UBIGINT, duckdb.TYPE_UBIGINT}, duckdb.TYPE_VARCHAR,
		perRow(func(v []driver.Value) (any, error) { return keys.Rearranged(v[0].(uint64), v[1].(uint64)), nil }),
	},
	"byte_values": {
		[]duckdb.Type{duckdb.TYPE_UBIGINT}, duckdb.TYPE_UTINYINT,
		perRow(func(v []driver.Value) (any, error) { return uint8(keys.ByteValues(v[0].(uint64))), nil }),
	},
	"shifted": {
		[]duckdb.Type{duckdb.TYPE_UBIGINT, duckdb.TYPE_UBIGINT}, duckdb.TYPE_VARCHAR,
		perRow(func(v []driver.Value) (any, error) { return shifted(v[0].(uint64), v[1].(uint64)), nil }),
	},
	"prefix": {
		[]duckdb.Type{duckdb.TYPE_VARCHAR}, duckdb.TYPE_VARCHAR,
		perText(prefix),
	},
	"address_order": {
		[]duckdb.Type{duckdb.TYPE_VARCHAR}, duckdb.TYPE_VARCHAR,
		perText(addressOrder),
	},
}

// shifted says how many of our bytes stand elsewhere in a key, and by how many places, which is positive
// towards the end; it is empty where there are too few to say so.
func shifted(key, sent uint64) string {
	count, by := keys.Shifted(key, sent)
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes by %+d", count, by)
}

// prefix is the network that is taken for one site: a /24 of IPv4 is the longest prefix that is routed
// between providers, a /48 of IPv6 what one site gets (RFC 6177 §2).
func prefix(address string) (string, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "", err
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	return p.String(), err
}

// addressOrder is text whose order is the numerical one of the addresses of a family, which that of their own
// text is not. Bytes would not do: DuckDB's text is UTF-8.
func addressOrder(address string) (string, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "", err
	}
	if a.Is4() {
		b := a.As4()
		return hex.EncodeToString(b[:]), nil
	}
	b := a.As16()
	return hex.EncodeToString(b[:]), nil
}

// function is a scalar function of DuckDB: NULL in, NULL out.
type function struct {
	parameters []duckdb.Type
	result     duckdb.Type
	executor   duckdb.ScalarFuncExecutor
}

func perRow(execute duckdb.RowExecutorFn) duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: execute}
}

// perText makes a function of text into one of a whole chunk: it runs for every target, and a call from C
// for each would take longer than the work.
func perText(f func(string) (string, error)) duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{ChunkContextExecutor: func(_ context.Context, chunk *duckdb.ChunkIteratorState) error {
		column, err := chunk.GetInputChunk().GetVector(0)
		if err != nil {
			return err
		}
		in, err := duckdb.GetVectorView[string](column)
		if err != nil {
			return err
		}
		out, err := duckdb.GetVectorWriter[string](chunk.GetResultVector())
		if err != nil {
			return err
		}
		for row := range in.Len() {
			text, ok, err := in.GetValueBorrowed(row)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			result, err := f(text)
			if err != nil {
				return err
			}
			if err := out.Set(row, result); err != nil {
				return err
			}
		}
		return nil
	}}
}

func (f *function) Config() duckdb.ScalarFuncConfig {
	var c duckdb.ScalarFuncConfig
	for _, t := range f.parameters {
		c.InputTypeInfos = append(c.InputTypeInfos, typeInfo(t))
	}
	c.ResultTypeInfo = typeInfo(f.result)
	return c
}

func (f *function) Executor() duckdb.ScalarFuncExecutor { return f.executor }

// typeInfo describes a plain type; only nested ones cannot be described by their type alone.
func typeInfo(t duckdb.Type) duckdb.TypeInfo {
	info, err := duckdb.NewTypeInfo(t)
	if err != nil {
		panic(err)
	}
	return info
}

// register makes the functions known to the database.
func register(ctx context.Context, db *sql.DB) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for name, f := range functions {
		if err := duckdb.RegisterScalarUDF(conn, name, &f); err != nil {
			return fmt.Errorf("SQL function %s: %w", name, err)
		}
	}
	return nil
}
