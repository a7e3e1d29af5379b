package classify

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
		func(v []driver.Value) (any, error) { return keys.DistanceChance(int(v[0].(uint8))), nil },
	},
	"bytes_kept": {
		[]duckdb.Type{duckdb.TYPE_UBIGINT, duckdb.TYPE_UBIGINT}, duckdb.TYPE_UTINYINT,
		func(v []driver.Value) (any, error) {
			return uint8(keys.BytesKept(v[0].(uint64), v[1].(uint64))), nil
		},
	},
	"rearranged": {
		[]duckdb.Type{duckdb.TYPE_UBIGINT, duckdb.TYPE_UBIGINT}, duckdb.TYPE_VARCHAR,
		func(v []driver.Value) (any, error) { return keys.Rearranged(v[0].(uint64), v[1].(uint64)), nil },
	},
	"byte_values": {
		[]duckdb.Type{duckdb.TYPE_UBIGINT}, duckdb.TYPE_UTINYINT,
		func(v []driver.Value) (any, error) { return uint8(keys.ByteValues(v[0].(uint64))), nil },
	},
	// The 16 bytes of an address, IPv4 mapped into IPv6: their order is the numerical one, which that
	// of the text is not.
	"address_order": {
		[]duckdb.Type{duckdb.TYPE_VARCHAR}, duckdb.TYPE_BLOB,
		func(v []driver.Value) (any, error) {
			a, err := netip.ParseAddr(v[0].(string))
			if err != nil {
				return nil, err
			}
			b := a.As16()
			return b[:], nil
		},
	},
}

// function is a scalar function of DuckDB: NULL in, NULL out.
type function struct {
	parameters []duckdb.Type
	result     duckdb.Type
	execute    duckdb.RowExecutorFn
}

func (f *function) Config() duckdb.ScalarFuncConfig {
	var c duckdb.ScalarFuncConfig
	for _, t := range f.parameters {
		c.InputTypeInfos = append(c.InputTypeInfos, typeInfo(t))
	}
	c.ResultTypeInfo = typeInfo(f.result)
	return c
}

func (f *function) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: f.execute}
}

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
